"""The shell of the server: connections, slots and timers around what the provider decides.

One call at a time on each connection, as HTTP/1.1 has it. No task and no coroutine:
a call is a plan, a timer and a few writes, so that the server is never what is measured.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, cast

import msgspec

from tenire.testing.fake_model_server.anthropic import MESSAGES
from tenire.testing.fake_model_server.batches import BatchDesk
from tenire.testing.fake_model_server.call_errors import CallError
from tenire.testing.fake_model_server.http import BadFramingError, RequestReader, response_head
from tenire.testing.fake_model_server.message_batches import MessageBatchDesk
from tenire.testing.fake_model_server.openai import CHAT, EMBEDDINGS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.testing.fake_model_server.call_log import ServerStatistics
    from tenire.testing.fake_model_server.calls import Dialect
    from tenire.testing.fake_model_server.http import Request
    from tenire.testing.fake_model_server.plans import Plan, Response
    from tenire.testing.fake_model_server.provider import Provider


__all__ = ["Connection", "Service"]

_JSON = b"application/json"
_EVENTS = b"text/event-stream; charset=utf-8"
_CHATS: tuple[tuple[str, Dialect], ...] = (
    ("/chat/completions", CHAT),
    ("/embeddings", EMBEDDINGS),
    ("/messages", MESSAGES),
)


class Service:
    """Serves a provider to any number of connections, on one loop.

    Args:
        provider: Decides.
        loop: On which it waits.
        now: The time; some loops round theirs to milliseconds.
    """

    def __init__(self, provider: Provider, loop: asyncio.AbstractEventLoop, now: Callable[[], float]) -> None:
        self.provider = provider
        self.loop = loop
        self.now = now
        self.connections: set[Connection] = set()
        self._desks = MessageBatchDesk(provider), BatchDesk(provider)
        self._busy = 0
        self._waiting: deque[tuple[Connection, Plan]] = deque()

    def connect(self) -> Connection:
        """Return the protocol of a new connection."""
        return Connection(self)

    def close(self) -> None:
        """Close all connections."""
        for connection in list(self.connections):
            connection.abort()

    def serve(self, connection: Connection, request: Request) -> None:
        """Begin to answer a request."""
        if request.path.startswith("/_"):
            self._about(connection, request)
            return
        dialect = next((dialect for ending, dialect in _CHATS if request.path.endswith(ending)), None)
        if dialect is None or request.method != "POST":
            self._plain(connection, request)
            return
        plan = self.provider.arrive(
            dialect, request.body, _key_of(request), self.now(), model=_deployment(request.path)
        )
        if plan.occupies and not self._enter(connection, plan):
            return
        self._work(connection, plan)

    def lost(self, plan: Plan) -> None:
        """Take back what a call holds whose client has gone away."""
        # What never ends is ended by the client: that is what was planned.
        self._over(plan, outcome=None if plan.outcome in ("hang", "drop") else "abandoned")

    def _enter(self, connection: Connection, plan: Plan) -> bool:
        settings = self.provider.settings
        if settings.slots is None or self._busy < settings.slots:
            self._busy += 1
            return True
        room = settings.queue is None or len(self._waiting) < settings.queue
        if settings.overflow == "reject" or not room:
            self.provider.reject(plan)
            return True
        connection.plan = plan
        self._waiting.append((connection, plan))
        return False

    def _work(self, connection: Connection, plan: Plan) -> None:
        connection.plan = plan
        if plan.seconds > 0:
            connection.timer = self.loop.call_later(plan.seconds, self._respond, connection, plan)
        else:
            self._respond(connection, plan)

    def _respond(self, connection: Connection, plan: Plan) -> None:
        response = self.provider.respond(plan, self.now())
        if response.delivery == "hang":
            return  # the connection stays open until the client gives up
        if response.delivery == "drop":
            connection.abort()
        elif response.pieces is not None:
            connection.write(response_head(response.status, None, response.headers, kind=_EVENTS))
            self._stream(connection, plan, response, 0)
        else:
            self._whole(connection, plan, response)

    def _whole(self, connection: Connection, plan: Plan, response: Response) -> None:
        body, length = response.body, len(response.body)
        if response.delivery == "wrong_length":
            length = max(1, length // 2)
        elif response.delivery == "cut":
            body = body[: int(length * response.place)]
        head = response_head(response.status, length, response.headers)
        self._over(plan)
        connection.plan = None
        connection.write(head + body)
        if response.delivery == "whole":
            connection.advance()
        else:
            connection.close()

    def _stream(self, connection: Connection, plan: Plan, response: Response, place: int) -> None:
        pieces = response.pieces or []
        upto = int(len(pieces) * response.place) if response.delivery == "cut" else len(pieces)
        last = place + 1 if response.pause else upto
        sent = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces[place : min(last, upto)])
        if last < upto:
            connection.write(sent)
            connection.timer = self.loop.call_later(response.pause, self._stream, connection, plan, response, last)
            return
        self._over(plan)
        connection.plan = None
        if response.delivery == "cut":
            connection.write(sent)
            connection.close()
        else:
            connection.write(sent + b"0\r\n\r\n")
            connection.advance()

    def _over(self, plan: Plan, outcome: str | None = None) -> None:
        self.provider.ended(plan, self.now(), outcome=outcome)
        if not plan.occupies:
            return
        for place, (_, waiting) in enumerate(self._waiting):
            if waiting is plan:  # it never had a slot
                del self._waiting[place]
                return
        self._busy -= 1
        if self._waiting:
            connection, following = self._waiting.popleft()
            self._busy += 1
            self._work(connection, following)

    def _about(self, connection: Connection, request: Request) -> None:
        if request.path == "/_statistics":
            body = msgspec.json.encode(self.statistics())
        elif request.path == "/_records":
            body = msgspec.json.encode(list(self.provider.log.records))
        else:
            body = msgspec.json.encode({"error": f"expected /_statistics or /_records, got {request.path}"})
        connection.answer(200 if request.path in ("/_statistics", "/_records") else 404, body)

    def _plain(self, connection: Connection, request: Request) -> None:
        for desk in self._desks:
            answer = desk.handle(request, _key_of(request), self.now())
            if answer is not None:
                connection.answer(*answer)
                return
        path = request.path.rstrip("/")
        names = self.provider.settings.models or ("fake-model",)
        if path.endswith("/models") and request.method == "GET":
            models = [{"id": name, "object": "model", "created": 0, "owned_by": "tenire"} for name in names]
            connection.answer(200, msgspec.json.encode({"object": "list", "data": models}))
            return
        known = any(path.endswith(ending) for ending, _ in _CHATS)
        message = f"Not found or not allowed here: {request.method} {request.path}"
        error = CallError(405 if known else 404, "invalid_request_error", message)
        connection.answer(error.status, CHAT.error(error))

    def statistics(self) -> ServerStatistics:
        """Return what it adds up to until now."""
        return self.provider.statistics(self.now())


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._reader = RequestReader()
        self._transport: asyncio.Transport | None = None
        self._advancing = False
        self.plan: Plan | None = None
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note where to write."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by descent
        self._service.connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Take in bytes, and begin what is whole."""
        self._reader.feed(data)
        self.advance()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up what is under way."""
        self._transport = None
        self._service.connections.discard(self)
        if self.timer is not None:
            self.timer.cancel()
        plan, self.plan = self.plan, None
        if plan is not None:
            self._service.lost(plan)

    def advance(self) -> None:
        """Serve what has arrived, until a call takes its time."""
        if self._advancing:  # a call that was answered at once: the loop below goes on
            return
        self._advancing = True
        try:
            while self.plan is None and self._transport is not None and not self._transport.is_closing():
                request = self._reader.next()
                if request is None:
                    return
                self._service.serve(self, request)
        except BadFramingError as error:
            fault = CallError(400, "invalid_request_error", f"Not HTTP/1.1 as expected: {error}")
            self.answer(400, CHAT.error(fault))
            self.close()
        finally:
            self._advancing = False

    def answer(self, status: int, body: bytes) -> None:
        """Send a whole response that is no call's."""
        self.write(response_head(status, len(body), b"") + body)

    def write(self, data: bytes) -> None:
        """Send bytes, unless the client has gone away."""
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        """Close once everything is sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()


def _key_of(request: Request) -> str | None:
    headers = request.headers
    key = headers.get(b"api-key") or headers.get(b"x-api-key")
    if key is None:
        scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer":
            return None
    return key.decode("latin-1")


def _deployment(path: str) -> str | None:
    """Return the model that an address of Azure's names."""
    _, found, rest = path.partition("/deployments/")
    return rest.partition("/")[0] if found else None

"""The addresses of the dashboard.

==================  =========================================================
``GET /``           the page; ``?token=…`` leads to it
``GET /page.js``    its program, and ``/page.css`` its looks
``GET /events``     the event stream
``GET /search``     ``?q=…&k=10&mode=hybrid``: passages with their words marked
``GET /why``        ``?task=…``: why a task or an entry is where it is
``POST /control``   a command; the only one that changes anything
==================  =========================================================

Everything goes through the gate first, and every answer says that it is to be kept
nowhere, framed nowhere and taken for nothing but what it is.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from tenire.dashboard.commands import MOST_BYTES, carry_out, read_command, refusal
from tenire.dashboard.messages import as_json
from tenire.errors import ConfigError, RejectedError, TenireError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from tenire.app.feed import Actions
    from tenire.dashboard.access import Gate
    from tenire.dashboard.stream import Stream

__all__ = ["make_application"]

_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_RAW_HEADERS = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
_PAGE = {
    "/": ("index.html", "text/html"), "/page.css": ("page.css", "text/css"), "/page.js": ("page.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}  # fmt: skip
_MOST_HITS = 50
_LONGEST_QUERY = 2_000


def make_application(gate: Gate, stream: Stream, actions: Actions) -> ASGIApp:
    """Return the application.

    Args:
        gate: Judges every request.
        stream: Serves ``/events``.
        actions: Does what is asked for.
    """

    async def control(request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise ConfigError("expected a body of the type application/json", key="content-type")
        outcome = await carry_out(read_command(await _body(request)), actions)
        return _json({"text": outcome.text, "facts": outcome.facts})

    async def search(request: Request) -> Response:
        query, mode = request.query_params.get("q", ""), request.query_params.get("mode", "hybrid")
        result = await actions.search(query[:_LONGEST_QUERY], k=_number(request, "k", 10, _MOST_HITS), mode=mode)
        return _json(result)

    async def why(request: Request) -> Response:
        answer = await actions.why(request.query_params.get("task", ""))
        return _json({"id": answer.id, "paragraph": answer.paragraph, **answer.as_json()})

    folder = files("tenire.dashboard") / "page"
    page = {path: ((folder / name).read_bytes(), kind) for path, (name, kind) in _PAGE.items()}

    async def show(request: Request) -> Response:
        body, kind = page[request.url.path]
        return Response(body, media_type=kind)

    async def events(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "GET":
            await Response("only GET", status_code=405, headers={"allow": "GET"})(scope, receive, send)
        elif stream.full:
            await Response("too many pages are open", status_code=503)(scope, receive, send)
        else:
            await stream.serve(scope, receive, send)

    routes = [Route(path, show) for path in _PAGE]
    routes += [
        Route("/search", search),
        Route("/why", why),
        Route("/control", control, methods=["POST"]),
    ]
    return _Guarded(Starlette(routes=routes, exception_handlers={TenireError: _refused}), events, gate)


class _Guarded:
    """Lets through what the gate lets through, and gives every answer its headers.

    The event stream stands beside the application: each layer that what is sent has to pass
    costs something, two hundred times a second with twenty pages.
    """

    def __init__(self, application: ASGIApp, events: ASGIApp, gate: Gate) -> None:
        self._application = application
        self._events = events
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_RAW_HEADERS]
            await send(message)

        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        path = scope["path"]
        verdict = self._gate.judge(path, scope["query_string"].decode("latin-1"), headers)
        if verdict.status == 200:
            through = self._events if path == "/events" else self._application
            await through(scope, receive, send_with_headers)
            return
        await self._answer(verdict.status, verdict.reason)(scope, receive, send_with_headers)

    def _answer(self, status: int, reason: str) -> Response:
        if status != 303:
            return Response(f"{reason}\n", status_code=status, media_type="text/plain")
        response = Response(status_code=303, headers={"location": "/"})
        response.set_cookie(self._gate.cookie, self._gate.token, httponly=True, samesite="strict", path="/")
        return response


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, TenireError)
    status, body = refusal(error)
    return _json(body, status)


async def _body(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise RejectedError(f"expected a command of up to {MOST_BYTES:,} bytes")
    return body


def _number(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
        raise ConfigError(f"{name} must be a whole number from 1 to {most}, got {text[:20]!r}", key=name)
    return int(text)


def _json(value: Any, status: int = 200) -> Response:
    return Response(as_json(value), status_code=status, media_type="application/json")

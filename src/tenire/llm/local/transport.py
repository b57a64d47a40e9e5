"""The way to a model on this machine.

1. Its server is started with the first call, in a worker process of the engine, once the
   engine has lent the memory that it takes (``ready``); what it takes more is admitted after.
   Each call takes its part of the CPU slots that the model computes with, unless its task has
   some: a task that waits for a reply computes nothing itself.
2. When nobody answers a call, it fails as transient, and the next one asks the worker for
   its server: a worker that has died has another. One that is there answers others
   meanwhile, and their connections stay.
3. How long a call may take is the business of whoever makes it: a long reply is no failure.
   The server stops working on a call whose connection is closed.
4. A model that does nothing goes where others wait for memory, and comes back with the next
   call; see ``Lodging``.
5. A server that cannot be started will not start for the next call either: that is no outage to
   wait for, but a model that is not there.
6. Who asks the same model of one engine shares one server and its memory (``share_model``); they go
   with the last who closes it.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from tenire.concurrency.holding import HOLDER
from tenire.concurrency.outside import waits_outside
from tenire.core.admission import CPU
from tenire.core.tasks import CPU_UNIT, Resources, Retry
from tenire.errors import ServerError, TaskError, TenireError, UnknownModelError
from tenire.llm.failures import LOST_WORKER
from tenire.llm.local.lodging import Lodging
from tenire.llm.local.serve import Serving, serve
from tenire.llm.local.weights import CONTEXT, SLOTS
from tenire.llm.transport import HttpTransport, Timeouts

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence
    from pathlib import Path

    from tenire.concurrency.manager import ConcurrencyManager
    from tenire.llm.records import ChatRequest, EmbeddingReply, ModelReply, StreamPart
    from tenire.resilience.urgency import Urgency

__all__ = ["LocalTransport", "share_model"]

_numbers = itertools.count(1)
_shared: WeakKeyDictionary[ConcurrencyManager, dict[Path, LocalTransport]] = WeakKeyDictionary()

_TIMEOUTS = Timeouts(connect=5.0, read=None, total=None)
_IF_KILLED = Retry(attempts=3, backoff=0.5, on=())
_IF_IT_DIES = "is there enough memory (tenire doctor tells), and can llama.cpp run on this processor?"
_IF_REFUSED = "is the file whole, of a model that llama.cpp knows, and is there enough memory for it?"


def share_model(weights: Path, manager: ConcurrencyManager, *, memory: int) -> LocalTransport:
    """Return the way to a model for one more of an engine who asks it; each of them closes it once.

    Args:
        weights: As for ``LocalTransport``.
        manager: As for ``LocalTransport``.
        memory: As for ``LocalTransport``.
    """
    models = _shared.setdefault(manager, {})
    model = models.get(weights)
    if model is None:
        model = models[weights] = LocalTransport(weights, manager, memory=memory)
    model.users += 1
    return model


class LocalTransport:
    """Calls a model that runs in a worker process of an engine.

    Args:
        weights: The model's file; see ``find_weights``, which looks at the disk.
        manager: The engine.
        memory: Bytes that the model is thought to take; see ``needed_memory``.
        threads: Threads to compute with; more than there are idle processors make it slower.
        slots: Replies at once.
        context: Tokens of a prompt and its reply together.

    Attributes:
        users: How many share it; see ``share_model``.
    """

    def __init__(
        self,
        weights: Path,
        manager: ConcurrencyManager,
        *,
        memory: int,
        threads: int = 1,
        slots: int = SLOTS,
        context: int = CONTEXT,
    ) -> None:
        self.users = 0
        self._manager = manager
        self._weights = weights
        self._name = f"model {weights.name}"
        self._serving = Serving(str(weights), threads, slots, context, secrets.token_urlsafe(24))
        manager.orchestrator.register_resource(self._name, slots)
        self._http: HttpTransport | None = None
        self._in_doubt = False  # whether there still is a server
        self._worker = ""
        self._starting = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()
        self._lodging = Lodging(manager, self._name, memory, leave=self._leave)

    @asynccontextmanager
    async def ready(self, urgency: Urgency, pipeline: str = "default") -> AsyncIterator[None]:
        """Have memory for the model and a part of its CPU slots while the block runs.

        That is around a call, so the wait for them is neither in its time nor in its slot.

        Args:
            urgency: Of the call.
            pipeline: Whose share the CPU slots are charged to.

        Raises:
            ConfigError: If it needs more than the engine shares out.
        """
        await self._lodging.enter()
        with self._lodging.at_work():
            holder = HOLDER.get()
            if holder is not None and holder.holds() >> CPU & 1:
                yield
                return
            orchestrator, serving = self._manager.orchestrator, self._serving
            most = orchestrator.scheduler.admission.capacity[CPU] / CPU_UNIT
            needs = Resources(cpu=min(serving.threads, most) / serving.slots, other={self._name: 1})
            # Detached, or the call could not wait for a slot of its quota, which it asks for next.
            permit = orchestrator.permit(
                needs, priority=urgency.priority, pipeline=pipeline, name=f"{self._name}: reply", detached=True
            )
            urgency.follow(permit.rise)
            try:
                with waits_outside(lambda: permit.asked):
                    await permit.__aenter__()
            finally:
                urgency.leave(permit.rise)
            try:
                yield
            finally:
                permit.give_back()

    async def complete(self, request: ChatRequest) -> ModelReply:
        """Send one request and return the whole reply; see ``HttpTransport``."""
        with self._lodging.at_work():
            http = await self._server()
            try:
                return await http.complete(request)
            except ServerError as error:
                self._doubt(http, error)
                raise

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamPart]:
        """Send one request and yield the reply as it comes; see ``HttpTransport``."""
        with self._lodging.at_work():
            http = await self._server()
            try:
                async with aclosing(http.stream(request)) as parts:
                    async for part in parts:
                        yield part
            except ServerError as error:
                self._doubt(http, error)
                raise

    async def embed(self, model: str, texts: Sequence[str], *, dimensions: int | None = None) -> EmbeddingReply:
        """Not offered: the embedders of ``tenire.vectors`` are better at it."""
        with self._lodging.at_work():
            http = await self._server()
            return await http.embed(model, texts, dimensions=dimensions)

    async def close(self) -> None:
        """Close all connections, and end the worker; where several share it, with the last of them."""
        self.users -= 1
        if self.users > 0:
            return
        models = _shared.get(self._manager, {})
        if models.get(self._weights) is self:
            del models[self._weights]
        self._lodging.close()
        if self._closing:
            await asyncio.wait(self._closing)

    async def _server(self) -> HttpTransport:
        if self._http is None or self._in_doubt:
            async with self._starting:
                if self._http is None or self._in_doubt:
                    await self._connect()
        assert self._http is not None
        return self._http

    async def _connect(self) -> None:
        await self._lodging.enter()
        try:
            base = f"{await self._start()}/v1"
        except BaseException as error:
            # Who is cancelled while he asks whether the server is still there says nothing about it.
            if self._http is None or not isinstance(error, asyncio.CancelledError):
                self._lodging.go()
            raise
        self._in_doubt = False
        http = self._http
        if http is not None and http.address.base == base:
            return
        self._http = HttpTransport(base, api_key=self._serving.key, timeouts=_TIMEOUTS)
        if http is not None:
            self._close(http)
        await self._lodging.measured(self._manager.thread_pool.statistics().memory.get(self._worker, 0))

    async def _start(self) -> str:
        """Return the address of the server, which is started if it is not there."""
        self._worker = self._worker or f"{self._name}-{next(_numbers)}"
        try:
            return await self._manager.submit(
                serve,
                self._serving,
                on="process",
                worker=self._worker,
                name=f"serve {self._name}",
                needs=Resources(),
                retry=_IF_KILLED,
            )
        except TaskError as error:
            message = f"the {self._name} could not be started: {error}"
            raise UnknownModelError(message, hint=_IF_IT_DIES) from error
        except TenireError:
            raise  # the engine's own: it ends, or never could
        except Exception as error:
            message = f"{self._serving.weights} could not be loaded as a model: {error}"
            raise UnknownModelError(message, hint=_IF_REFUSED) from error

    def _doubt(self, http: HttpTransport, error: ServerError) -> None:
        # Without a status nobody answered.
        if error.status is not None:
            return
        error.code = error.code if error.charged else LOST_WORKER
        if self._http is http:
            self._in_doubt = True

    def _leave(self) -> None:
        """End the worker, and close the connections to it."""
        if self._worker:
            self._manager.thread_pool.end_worker(self._worker)
            self._worker = ""
        http, self._http = self._http, None
        if http is not None:
            self._close(http)

    def _close(self, http: HttpTransport) -> None:
        closing = asyncio.get_running_loop().create_task(http.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

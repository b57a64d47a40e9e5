"""The server that tests start: in a thread with a loop of its own."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.loops.kinds import loop_factory
from tenire.concurrency.unbroken import unbroken
from tenire.testing.fake_model_server.face import ServerFace
from tenire.testing.fake_model_server.provider import Provider
from tenire.testing.fake_model_server.service import Service
from tenire.testing.fake_model_server.settings import ServerSettings, checked_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from tenire.testing.fake_model_server.call_log import CallRecord, ServerStatistics

__all__ = ["FakeModelServer"]


class FakeModelServer(ServerFace):
    """A model's server on 127.0.0.1 with strict quotas and, if you like, all sorts of trouble.

    Speaks OpenAI's chat completions and embeddings, also at Azure's addresses, and
    Anthropic's messages. The n-th try of a prompt has the same fate, the same latency
    and the same reply in every run with the same seed. Its port is free to reach for
    every process of this machine.

    Args:
        port: To listen at; 0 takes any that is free.
        settings: The attributes of ``ServerSettings``.

    Raises:
        ValueError: If the port or a setting is unknown or impossible.

    Example:
        >>> import json
        >>> from urllib.request import Request, urlopen
        >>> with FakeModelServer(rpm=60) as server:
        ...     body = {"model": "any", "messages": [{"role": "user", "content": "Hello"}]}
        ...     with urlopen(Request(f"{server.base_url}/chat/completions", json.dumps(body).encode())) as reply:
        ...         print(reply.headers["x-ratelimit-remaining-requests"])
        ...     print(server.statistics().answered)
        59
        1
    """

    def __init__(self, *, port: int = 0, **settings: Any) -> None:
        self.settings = ServerSettings.of(**settings)
        self._port = checked_port(port)
        self._provider = Provider(self.settings, SYSTEM_CLOCK.wall)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stop: asyncio.Event | None = None
        self._failure: OSError | None = None

    @property
    def url(self) -> str:
        """The root of the server's addresses; the base URL of Anthropic's clients."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def base_url(self) -> str:
        """The base URL of OpenAI's clients."""
        return f"{self.url}/v1"

    def statistics(self) -> ServerStatistics:
        """Return what the calls so far add up to."""
        return self._provider.statistics(SYSTEM_CLOCK.now())

    def records(self) -> list[CallRecord]:
        """Return the calls that have ended, in the order in which they did."""
        return list(self._provider.log.records)

    def seconds(self) -> float:
        """Return the seconds since the first call."""
        return self._provider.seconds(SYSTEM_CLOCK.now())

    def start(self) -> None:
        """Start, and wait until it listens.

        Raises:
            OSError: If the port is taken.
        """
        ready = threading.Event()
        self._launch(ready.set)
        ready.wait()
        self._check()

    def stop(self) -> None:
        """Close all connections, and wait until the thread is gone."""
        if self._thread is not None:
            self._tell_to_stop()
            self._thread.join()
            self._thread = None

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    async def __aenter__(self) -> Self:
        """Start, without blocking the running loop."""
        try:
            await unbroken(asyncio.to_thread(self.start))
        except asyncio.CancelledError:
            await unbroken(asyncio.to_thread(self.stop))
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop, without blocking the running loop."""
        await unbroken(asyncio.to_thread(self.stop))

    def _launch(self, ready: Callable[[], object]) -> None:
        if self._loop is not None:
            msg = "a FakeModelServer runs once; make a new one"
            raise RuntimeError(msg)
        self._thread = threading.Thread(target=self._run, args=(ready,), name="tenire-fake-model-server", daemon=True)
        self._thread.start()

    def _run(self, ready: Callable[[], object]) -> None:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(self._serve(ready))

    async def _serve(self, ready: Callable[[], object]) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        service = Service(self._provider, self._loop, SYSTEM_CLOCK.now)
        try:
            listener = await self._loop.create_server(service.connect, "127.0.0.1", self._port, backlog=1024)
        except OSError as error:
            self._failure = error
            ready()
            return
        self._port = listener.sockets[0].getsockname()[1]
        ready()
        await self._stop.wait()
        listener.close()
        service.close()
        await listener.wait_closed()

    def _check(self) -> None:
        if self._failure is not None and self._thread is not None:
            self._thread.join()
            self._thread = None
            raise self._failure

    def _tell_to_stop(self) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)

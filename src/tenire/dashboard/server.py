"""The server of the dashboard: from its first answer to its last.

1. It binds before it serves, so that the address is known and taken, or refused at once.
2. It installs no signal handlers: that is for whoever runs the loop. Nor does it wake ten
   times a second to see whether it is to end, as uvicorn's own server does: it is told.
3. At the end the streams are ended first. A server that waits for a page to go away
   waits for ever (uvicorn issue 451), so there is a last second after which it does not.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
from contextlib import AsyncExitStack
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from tenire.app.feed import Feed
from tenire.concurrency.blocking import run_blocking
from tenire.concurrency.unbroken import unbroken
from tenire.dashboard.access import Gate
from tenire.dashboard.stream import CONNECTION, Stream
from tenire.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from tenire.concurrency.timer import UniversalTimer
    from tenire.storage.home import Home

__all__ = ["DEFAULT_PORT", "Dashboard", "require_packages"]

DEFAULT_PORT = 8642

_GRACE_S = 1
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_NEEDED = ("starlette", "uvicorn")


def require_packages() -> None:
    """Do nothing, if all is installed that a dashboard needs.

    Raises:
        MissingExtraError: If something is missing.
    """
    missing = [package for package in _NEEDED if find_spec(package) is None]
    if missing:
        raise MissingExtraError("the dashboard", extra="dashboard", missing=", ".join(missing))


class Dashboard:
    """Serves the page of one home; an async context manager.

    Args:
        home: The home, or its directory; an engine need not run.
        port: Where to listen; 0 for any free port, ``None`` for the usual one or else a free one.
        host: The address to listen on.
        remote: Whether that may be another than this machine's own: then everybody on the
            network who learns the token comes in, and reads it on the way.
        token: What who comes in must have; a new one by default.
        timer: The engine's, on the loop of an engine.

    Attributes:
        feed: What it shows.

    Raises:
        ConfigError: If the address is another machine's or is taken, or may be reached by others.
        MissingExtraError: If the extra ``dashboard`` is not installed.
    """

    def __init__(
        self,
        home: Home | str | os.PathLike[str],
        *,
        port: int | None = None,
        host: str = "127.0.0.1",
        remote: bool = False,
        token: str | None = None,
        timer: UniversalTimer | None = None,
    ) -> None:
        require_packages()
        if host.lower() not in _LOOPBACK and not remote:
            message = f"the dashboard listens on this machine only, got the address {host}"
            hint = "with --allow-remote everybody on the network who learns the token can read and steer"
            raise ConfigError(message, key="host", hint=hint)
        self.feed = Feed(home, timer=timer)
        self._host, self._port, self._remote = host.lower(), port, remote
        self._token = token or secrets.token_urlsafe(32)
        self._stream = Stream(self.feed)
        self._socket: socket.socket | None = None
        self._server: Any = None
        self._gate: Gate | None = None
        self._serving: asyncio.Task[None] | None = None
        self._asked_to_end = asyncio.Event()
        self._stack = AsyncExitStack()

    @property
    def remote(self) -> bool:
        """Whether other machines can reach it."""
        return self._host not in _LOOPBACK

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._socket is not None, "the dashboard is not open"
        return int(self._socket.getsockname()[1])

    @property
    def address(self) -> str:
        """Where to find it, with the token."""
        return self._with(self._token)

    def open_in_browser(self) -> bool:
        """Open the page in the user's browser, and return whether there is one; blocks."""
        import webbrowser

        assert self._gate is not None, "the dashboard is not open"
        # Every user of the machine can read the command line of a browser, so it gets a token that opens once.
        return webbrowser.open(self._with(self._gate.ticket()))

    def _with(self, token: str) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}/?token={token}"

    async def __aenter__(self) -> Self:
        self._socket = _bound(self._host, self._port)
        async with self._stack as stack:
            stack.callback(self._socket.close)
            await stack.enter_async_context(self.feed)
            await run_blocking(self._make)
            self._serving = asyncio.get_running_loop().create_task(self._serve(), name="tenire dashboard: server")
            stack.push_async_callback(self._stop)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await unbroken(self._stack.aclose())

    async def wait_ended(self) -> None:
        """Wait until it ends by itself, which it does only by an error, and raise that."""
        assert self._serving is not None, "the dashboard is not open"
        ended, _ = await asyncio.wait([self._serving, self.feed.ended], return_when=asyncio.FIRST_COMPLETED)
        for each in ended:
            each.result()

    def _make(self) -> None:
        """Make the server; on a thread, since what it needs takes a while to import."""
        import uvicorn
        from uvicorn.protocols.http.h11_impl import H11Protocol

        from tenire.dashboard.application import make_application

        class Server(uvicorn.Server):
            @contextlib.contextmanager
            def capture_signals(self) -> Iterator[None]:
                yield

            async def main_loop(self) -> None:
                await self.on_tick(0)
                await asked_to_end.wait()

        class Connection(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(transport)
                self.app_state = {**self.app_state, CONNECTION: transport}

        asked_to_end = self._asked_to_end
        self._gate = gate = Gate(self._token, port=self.port, host=self._host, remote=self._remote)
        config = uvicorn.Config(
            make_application(gate, self._stream, self.feed.actions),
            access_log=False, date_header=False, http=Connection, lifespan="off", log_config=None, log_level="warning",
            proxy_headers=False, server_header=False, timeout_graceful_shutdown=_GRACE_S, ws="none",
        )  # fmt: skip
        self._server = Server(config)

    async def _serve(self) -> None:
        try:
            await self._server.serve(sockets=[self._socket])
        except BaseException:
            if self._server.started:  # it has left its socket and its pages open
                self._stream.end()
                await unbroken(self._server.shutdown(sockets=[self._socket]))
            raise

    async def _stop(self) -> None:
        self._stream.end()
        self._server.should_exit = True
        self._asked_to_end.set()
        if self._serving is not None:
            await asyncio.wait([self._serving])
            if not self._serving.cancelled():
                self._serving.result()


def _bound(host: str, port: int | None) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    tries = (DEFAULT_PORT, 0) if port is None else (port,)
    for number in tries:
        bound = socket.socket(family, socket.SOCK_STREAM)
        try:
            if os.name == "posix":  # the port of one that has just ended can be used again; elsewhere it means sharing
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((host, number))
            bound.listen(128)
            bound.setblocking(False)
        except (OSError, OverflowError) as error:
            bound.close()
            if number != tries[-1]:
                continue
            why = getattr(error, "strerror", None) or str(error)
            message = f"the dashboard cannot listen on {host}, port {number}: {why}"
            raise ConfigError(message, key="port", hint="name another port; 0 takes any free one") from error
        return bound
    raise AssertionError

"""The fake model server in a process of its own: it takes no time from the program that calls it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import msgspec

from tenire.testing.fake_model_server.call_log import CallRecord, ServerStatistics
from tenire.testing.fake_model_server.face import ServerFace
from tenire.testing.fake_model_server.settings import ServerSettings, checked_port

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["FakeModelProcess"]

_PATIENCE_S = 10.0


class FakeModelProcess(ServerFace):
    """A ``FakeModelServer`` in a process of its own, for benchmarks and heavy tests.

    Has the same face, but for settings that are functions, which cannot be sent. The
    process ends with the ``with`` block, and also if this one is killed.

    Args:
        port: To listen at; 0 takes any that is free.
        settings: The attributes of ``ServerSettings``.

    Raises:
        ValueError: If the port or a setting is impossible, or a setting unknown or a function.
    """

    def __init__(self, *, port: int = 0, **settings: Any) -> None:
        self.settings = ServerSettings.of(**settings)
        functions = [name for name in ("latency", "poison") if callable(getattr(self.settings, name))]
        if functions:
            msg = f"{functions[0]} must be a word or a number for a server in another process, got a function"
            raise ValueError(msg)
        self._port = checked_port(port)
        self._process: subprocess.Popen[str] | None = None
        self._base_url = ""

    @property
    def url(self) -> str:
        """The root of the server's addresses; the base URL of Anthropic's clients."""
        return self._base_url.removesuffix("/v1")

    @property
    def base_url(self) -> str:
        """The base URL of OpenAI's clients."""
        return self._base_url

    @property
    def pid(self) -> int:
        """The process, for those who measure it."""
        return self._running().pid

    def statistics(self) -> ServerStatistics:
        """Ask what the calls so far add up to."""
        return msgspec.json.decode(self._ask("/_statistics"), type=ServerStatistics)

    def records(self) -> list[CallRecord]:
        """Ask for the calls that have ended, in the order in which they did."""
        return msgspec.json.decode(self._ask("/_records"), type=list[CallRecord])

    def start(self) -> None:
        """Start, and wait until it listens.

        Raises:
            OSError: If it ended instead, for example since the port is taken.
        """
        words = [sys.executable, "-m", "tenire.testing.fake_model_server", "--port", str(self._port)]
        words += ["--settings", msgspec.json.encode(self.settings).decode()]
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._base_url = self._process.stdout.readline().strip()
        if not self._base_url.startswith("http://"):
            self.stop()
            msg = f"the server on port {self._port} did not start; what it wrote says why"
            raise OSError(msg)

    def stop(self) -> None:
        """End the process, and wait until it is gone."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.communicate(timeout=_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            msg = "the server's process is not running: use it inside its with block"
            raise RuntimeError(msg)
        return self._process

    def _ask(self, path: str) -> bytes:
        self._running()
        with urlopen(self.url + path, timeout=_PATIENCE_S) as reply:
            data: bytes = reply.read()
        return data

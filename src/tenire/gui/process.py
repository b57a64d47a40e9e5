"""The process of the monitor window: started, watched, started again, closed by its parent.

::

    STARTING ──first frame──► READY ──minimised──► HIDDEN ──► READY …
        └──────────┬───────────┴───────────────────┘
                   ├── closed by the person, by its parent, or by ``exit_after``: CLOSED
                   └── it died: CRASHED ──► RESTARTED ──first frame──► READY …; too often: FAILED

1. It is a fresh process, never a fork: Qt does not survive one.
2. It belongs to its parent: Ctrl-C reaches the parent alone, which closes it; and it ends
   when the parent does, however that ends. The engine is neither one's business: window
   and engine survive each other.
3. One that has never been seen is not started again: where it could not be shown once,
   for want of a screen or of a library, it cannot the next time.
4. Each change is a ``WindowChanged`` for who listens.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from tenire.app.apart import in_a_session_of_its_own
from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.signals import Signals
from tenire.concurrency.supervisor import Child, Supervisor
from tenire.concurrency.timer import UniversalTimer
from tenire.errors import ComponentError, ConfigError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tenire.concurrency.supervisor import ComponentChanged, Life

__all__ = ["WindowChanged", "WindowProcess", "require_qt", "require_screen"]

_BINDINGS = ("PySide6", "PyQt6")
_SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
_CLOSE_S = 3.0
_CRASHES, _PERIOD_S = 3, 60.0
_STATES = {"ready": "ready", "shown": "ready", "hidden": "hidden", "failed": "failed", "closed": "closed"}


@dataclass(frozen=True, slots=True)
class WindowChanged:
    """The window changed its state.

    Attributes:
        state: ``starting``, ``ready``, ``hidden``, ``crashed``, ``restarted``, ``failed`` or ``closed``.
        pid: Its process, or ``None``.
        restarts: How often it was started again.
        detail: Why, or an empty text.
    """

    state: str
    pid: int | None
    restarts: int
    detail: str = ""


def require_qt() -> None:
    """Do nothing, if there is a Qt.

    Raises:
        MissingExtraError: If there is none.
    """
    if not any(find_spec(name) is not None for name in _BINDINGS):
        raise MissingExtraError("the window", extra="gui", missing="PySide6")


def require_screen(environment: Mapping[str, str], platform: str) -> None:
    """Do nothing, if there may be a screen.

    Args:
        environment: Where the desktop tells of it.
        platform: As in ``sys.platform``.

    Raises:
        ConfigError: If there is none.
    """
    if platform in ("win32", "darwin") or any(environment.get(name) for name in _SCREENS):
        return
    message = "the window needs a screen, and there is none here: DISPLAY and WAYLAND_DISPLAY are not set"
    hint = "tenire top shows the same in the terminal, tenire dashboard in a browser, of another machine too"
    raise ConfigError(message, key="gui", hint=hint)


class WindowProcess:
    """Runs one window until it is closed.

    Args:
        home: The home that it shows.
        words: Further words for it.
        signals: Where its changes are told.

    Attributes:
        state: See ``WindowChanged``.
        pid: Of its process, while there is one.
    """

    def __init__(self, home: Path, *, words: Sequence[str] = (), signals: Signals | None = None) -> None:
        self._command = [sys.executable, "-m", "tenire.gui.window", str(home), "--parent", *words]
        self.signals = signals or Signals()
        self.state = "new"
        self.pid: int | None = None
        self._starts = 0
        self._failure = ""
        self._seen = False
        self._ended = asyncio.Event()

    async def run(self) -> int:
        """Show it; return 0 once it was closed.

        Raises:
            ComponentError: If it died too often.
        """
        failed: list[ComponentError] = []

        def give_up(error: ComponentError) -> None:
            failed.append(error)
            self._turn("failed", str(error.__cause__ or error))
            self._ended.set()

        timer = UniversalTimer.of_running_loop(SYSTEM_CLOCK)
        supervisor = Supervisor(
            [Child("window", self._live, restart="transient", grace=_CLOSE_S + 2.0)],
            timer=timer, clock=SYSTEM_CLOCK, intensity=_CRASHES, period=_PERIOD_S,
            on_change=self._changed, on_escalation=give_up,
        )  # fmt: skip
        try:
            with contextlib.suppress(ComponentError):  # told by ``give_up``
                await supervisor.start()
            await self._ended.wait()
        finally:
            await supervisor.aclose()
            timer.close()
        if failed:
            raise failed[0]
        return 1 if self._failure else 0

    @property
    def failure(self) -> str:
        """What it could not do, or an empty text."""
        return self._failure

    def _changed(self, change: ComponentChanged) -> None:
        if change.state in ("down", "failed"):  # the last crash of too many, which is given up, is one too
            self._turn("crashed", str(change.error or ""))
        elif change.state == "ended":
            self._turn("closed")
            self._ended.set()

    async def _live(self, life: Life) -> None:
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **in_a_session_of_its_own()
        )
        self.pid = process.pid
        self._starts += 1
        self._turn("restarted" if self._starts > 1 else "starting")
        try:
            assert process.stdout is not None
            async for line in process.stdout:
                self._heard(line, life.ready)
            code = await process.wait()
        finally:
            await _close(process)
            self.pid = None
        if code != 0 and not self._failure and not self._seen:
            self._failure = f"the window could not be shown: its process ended with {code}; its last words stand above"
        if code != 0 and not self._failure:
            message = f"the window's process ended with {code}"
            raise ComponentError(message, component="window", hint="its last words stand above")
        life.ready()

    def _heard(self, line: bytes, ready: Callable[[], None]) -> None:
        try:
            told: dict[str, Any] = json.loads(line)
            state = _STATES[told["state"]]
        except (ValueError, KeyError, TypeError):
            return  # what a library printed there is no message
        if state == "failed":
            self._failure = str(told.get("error", "it failed"))
        elif state != "closed":
            self._seen = True
            if state != self.state:
                self._turn(state)
        if told["state"] == "ready":
            ready()

    def _turn(self, state: str, detail: str = "") -> None:
        self.state = state
        self.signals.post(WindowChanged(state, self.pid, max(0, self._starts - 1), detail))


async def _close(process: asyncio.subprocess.Process) -> None:
    """Have it end: by the end of its stdin, and by force if it does not."""
    if process.returncode is not None:
        return
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(_CLOSE_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

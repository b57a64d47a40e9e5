"""Writes down what happens in an engine, in the logs of its home.

1. Lines are collected for ``DELAY_S`` and written together, on a thread.
2. A home that does not exist is not made for this. What happened before something else
   makes it is written then, as far as it is kept.
3. Of two engines on one home the first one writes, and the other one does not, as long as
   a write of the first goes on that it waits for no more.
4. No event holds a text of a user: names, numbers, and reasons in the engine's own words.
5. Its supervisor starts it again if it is broken off, or hangs. Lines that were not written
   by then are written later, never on a second thread beside one that hangs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from typing import TYPE_CHECKING, Any

from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.blocking import haste_s, run_blocking, wait_or_give_up
from tenire.concurrency.compactor import StepEnded
from tenire.concurrency.control_events import LevelChanged, OverloadChanged, SlotsChanged
from tenire.concurrency.supervisor.child import ComponentChanged
from tenire.observe.event_log import EventLog
from tenire.storage.file_lock import LockTakenError, lock_exclusive
from tenire.storage.home import Home

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tenire.clock import Clock
    from tenire.concurrency.control import Control
    from tenire.concurrency.orchestrator import Orchestrator
    from tenire.concurrency.periodic import Periodic
    from tenire.concurrency.signals import Signals, Subscription
    from tenire.concurrency.supervisor import Life
    from tenire.concurrency.timer import Timeout, UniversalTimer
    from tenire.core.fair_share import PipelineShare

    Every = Callable[[float, Callable[[], object]], Periodic | Timeout]

__all__ = ["DELAY_S", "PERIOD_S", "EventKeeper", "event_keeper"]

DELAY_S = 1.0
PERIOD_S = 60.0
"""Between two looks at what the pipelines did, on a machine at rest."""

_LAST_WAIT_S = 2.0
_WRITING = "tenire event lines"

_log = logging.getLogger("tenire.events")


def event_keeper(
    home: Path | None, orchestrator: Orchestrator, signals: Signals, *, timer: UniversalTimer, control: Control
) -> EventKeeper | None:
    """Return the keeper of an engine; ``None`` without a home, and in virtual time."""
    if home is None or timer.clock is not SYSTEM_CLOCK:
        return None
    shares = orchestrator.scheduler.shares
    return EventKeeper(
        home, signals=signals, pipelines=lambda: shares.pipelines, clock=timer.clock, timer=timer, every=control.every
    )


class EventKeeper:
    """Keeps the event log of one engine; its methods belong to the loop's thread.

    Args:
        home: The engine's home.
        signals: Where events come from.
        pipelines: Returns the pipelines by name.
        clock: The engine's clock.
        timer: The engine's timer.
        every: Calls a function again and again, given the period in seconds.
    """

    def __init__(
        self,
        home: Path,
        *,
        signals: Signals,
        pipelines: Callable[[], dict[str, PipelineShare]],
        clock: Clock,
        timer: UniversalTimer,
        every: Every,
    ) -> None:
        self._home = home
        self._signals = signals
        self._pipelines = pipelines
        self._clock = clock
        self._timer = timer
        self._every = every
        self._events: EventLog | None = None
        self._lock_fd: int | None = None
        self._state = threading.Lock()  # around these two, which the thread that writes looks at
        self._at_work = self._over = False
        self._refused = self._failed = self._closing = False
        self._writing: asyncio.Task[None] | None = None
        self._told: dict[str, tuple[int, ...]] = {}
        self._began = clock.now()
        self._heard: list[Subscription] = []
        self._ticking: Periodic | Timeout | None = None
        self._fell: Callable[[BaseException], object] = _note_fall

    async def run(self, life: Life, **facts: str | float) -> None:
        """Be a component: write down what happens, for as long as it lives."""
        self._fell = life.fail
        self.start(**facts)
        life.ready()
        try:
            await life.wait_told_to_end()
        finally:
            self._listen_no_more()

    def ask(self, beat: Callable[[], None]) -> None:
        """Have ``beat`` called once nothing is written: a disk that hangs gives no sign of life."""
        if self._writing is None or self._writing.done():
            beat()
        else:
            self._writing.add_done_callback(lambda _: beat())

    def start(self, **facts: str | float) -> None:
        """Write down from now on what happens; the first time also that the engine has started, with ``facts``."""
        listeners: dict[type[Any], Callable[[Any], None]] = {
            LevelChanged: self._level, SlotsChanged: self._slots, OverloadChanged: self._overload,
            ComponentChanged: self._component, StepEnded: self._tidied,
        }  # fmt: skip
        self._heard = [self._signals.subscribe(event, listener) for event, listener in listeners.items()]
        self._ticking = self._every(PERIOD_S, self._tick)
        if self._events is None:
            self._events = EventLog(self._home / "logs", clock=self._clock)
            self.note("engine started", pid=os.getpid(), **facts)
        elif self._events.pending:
            self._flush()

    def _listen_no_more(self) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
        for subscription in self._heard:
            subscription.cancel()

    def note(self, event: str, **facts: str | float | bool | None) -> None:
        """Write down that something happened."""
        if self._events is not None and self._events.note(event, **facts):
            self._timer.after(DELAY_S, self._flush)

    async def aclose(self, *, haste: bool = False) -> None:
        """Write the last lines.

        Args:
            haste: Wait for a slow disk only as long as nobody notices.
        """
        if self._events is None:
            return
        self._listen_no_more()
        self._fell = _note_fall  # from here on nobody starts it again
        self._closing = True
        self._tick()
        self.note("engine ended", seconds=round(self._clock.now() - self._began, 3))
        limit = haste_s() if haste else _LAST_WAIT_S
        writing = asyncio.get_running_loop().create_task(self._write_last(), name=_WRITING)
        writing.add_done_callback(self._written)
        try:
            if not await wait_or_give_up([writing], limit):
                if self._writing is not None:
                    self._writing.cancel()
                _log.warning("the last events could not be written to %s: the disk did not answer in time", self._home)
        finally:
            with self._state:
                self._over = True
                if not self._at_work:
                    self._let_go()

    async def _write_last(self) -> None:
        if self._writing is not None:
            await asyncio.wait([self._writing])
        await run_blocking(self._write)

    # -- what happens -------------------------------------------------------

    def _level(self, it: LevelChanged) -> None:
        load = None if it.load is None else round(it.load, 3)
        self.note("level changed", level=it.level, before=it.before, load=load, reason=it.reason)

    def _slots(self, it: SlotsChanged) -> None:
        self.note("slots changed", slots=it.slots, before=it.before, full=it.full, reason=it.reason)

    def _overload(self, it: OverloadChanged) -> None:
        wait = None if it.wait is None else round(it.wait, 3)
        self.note("overload changed", last=" ".join(it.last), before=" ".join(it.before), wait=wait, reason=it.reason)

    def _component(self, it: ComponentChanged) -> None:
        # The kind of the error alone: its message may quote anything.
        kind = None if it.error is None else type(it.error).__name__
        if it.state in ("down", "failed") or (it.state == "up" and it.restarts):
            self.note("component changed", component=it.component, state=it.state, error=kind, restarts=it.restarts)

    def _tidied(self, it: StepEnded) -> None:
        if it.gained:
            self.note("tidied up", step=it.name, bytes=it.gained, seconds=round(it.seconds, 3))

    def _tick(self) -> None:
        for name, it in self._pipelines().items():
            counts = (it.submitted, it.ended, it.failed, it.cancelled, it.retried)
            if self._told.get(name, (0,) * len(counts)) != counts:
                self._told[name] = counts
                submitted, ended, failed, cancelled, retried = counts
                self.note(
                    "pipeline counted", pipeline=name, submitted=submitted, ended=ended, failed=failed,
                    cancelled=cancelled, retried=retried,
                )  # fmt: skip
        if self._events is not None and self._events.pending:  # the home was not there yet
            self._flush()

    # -- writing --------------------------------------------------------------

    def _flush(self) -> None:
        if self._closing:
            return  # all of it is about to be written
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(run_blocking(self._write), name=_WRITING)
            self._writing.add_done_callback(self._written)
        else:
            self._timer.after(DELAY_S, self._flush)

    def _written(self, writing: asyncio.Task[None]) -> None:
        if self._closing and writing.cancelled():
            return  # told of by who cancelled it
        error = asyncio.CancelledError() if writing.cancelled() else writing.exception()
        if error is not None:
            self._fell(error)

    def _write(self) -> None:
        """Write what has come; on a thread. A write that was given up keeps the lock until it is over."""
        assert self._events is not None
        with self._state:
            if self._over:
                return
            self._at_work = True
        try:
            if not self._refused and os.path.isdir(self._home) and self._hold():
                self._events.flush()
        finally:
            with self._state:
                self._at_work = False
                if self._over:
                    self._let_go()

    def _let_go(self) -> None:
        fd, self._lock_fd = self._lock_fd, None
        if fd is not None:
            os.close(fd)

    def _hold(self) -> bool:
        """Return whether this engine is the one that writes."""
        if self._lock_fd is not None:
            return True
        logs = Home(self._home).logs_path
        fd = None
        try:
            logs.mkdir(mode=0o700, exist_ok=True)
            fd = os.open(logs / "events.lock", os.O_RDWR | os.O_CREAT, 0o600)
            lock_exclusive(fd)
        except (OSError, LockTakenError) as error:
            self._refused = isinstance(error, LockTakenError)
            if fd is not None:
                os.close(fd)
            why = "another engine writes there" if self._refused else error
            _log.log(logging.DEBUG if self._failed else logging.WARNING, "events are not written to %s: %s", logs, why)
            self._failed = True
            return False
        self._lock_fd = fd
        return True


def _note_fall(error: BaseException) -> None:
    _log.error("writing down what happens was broken off", exc_info=error)

"""Tidies up after the engine while nobody needs it, and stops at once when somebody does.

When what runs is decided by ``core.compaction``; here it is carried out: a step runs on
a thread, and the engine's timer rings when the next one is due. Nothing is polled: that
there is work, or no more, is told by the dispatcher.

1. When work arrives, the step that runs is told to stop in the same turn of the loop.
2. A step must then return within ``STOP_S``. One that does not is named in the log.
3. A step that raises, or returns no number of bytes, is logged; it counts as one that
   brought nothing.
4. It runs under a supervisor, which starts it again if somebody cancels its task, or if it
   hangs. Each look of a step at its stop sign is a sign of life. One that gives none for
   ``LONGEST_S``, in one long call to a library perhaps, is told to stop.
5. A step that hangs is left behind: the others go on, and it is not begun again before it
   has returned.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from operator import index
from typing import TYPE_CHECKING, Any, cast

from tenire.concurrency.blocking import haste_s, run_blocking, wait_or_give_up
from tenire.concurrency.timer import Alarm
from tenire.core.compaction import QUIET_S, Compaction
from tenire.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from tenire.clock import Clock
    from tenire.concurrency.signals import Signals
    from tenire.concurrency.supervisor import Life
    from tenire.concurrency.timer import UniversalTimer
    from tenire.protocols import StopSign

__all__ = ["LONGEST_S", "STOP_S", "CompactionStatistics", "CompactionStep", "Compactor", "StepEnded", "Stop"]

STOP_S = 0.05
LONGEST_S = 600.0
_LAST_WAIT_S = 1.0
_PATIENCE_S = 1.0
"""After which a step that was told to stop is named."""

_log = logging.getLogger("tenire.compactor")


class Stop:
    """A ``StopSign`` that one thread sets and another one looks at.

    Attributes:
        looked: Whether the work has looked at it; whoever asks sets it back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._interrupt: Callable[[], object] | None = None
        self._requested = False
        self.looked = False

    @property
    def requested(self) -> bool:
        """Whether the work has to stop."""
        self.looked = True
        return self._requested

    def request(self) -> None:
        """Have the work stop."""
        with self._lock:
            self._requested = True
            if self._interrupt is not None:
                self._interrupt()

    @contextmanager
    def calling(self, interrupt: Callable[[], object]) -> Iterator[None]:
        """Have ``interrupt`` called as soon as the work has to stop while the block runs.

        It is called at once if that was before; it must be quick and not raise.
        """
        with self._lock:
            self._interrupt = interrupt
            if self._requested:
                interrupt()
        try:
            yield
        finally:
            # Under the lock: once the block is left, nobody is in the middle of interrupting.
            with self._lock:
                self._interrupt = None


@dataclass(frozen=True, slots=True)
class CompactionStep:
    """Something to tidy up.

    Attributes:
        name: For people, and by which it is told apart.
        run: Does it and returns the bytes that it gained: a plain function on a thread, a
            coroutine function on the loop. It is given a ``StopSign``, and looks at it
            often enough to return within ``STOP_S``.
        every: Seconds between two runs at the least.
        quiet: Seconds without work before it runs.
    """

    name: str
    run: Callable[[StopSign], int] | Callable[[StopSign], Coroutine[Any, Any, int]]
    every: float = 60.0
    quiet: float = QUIET_S


@dataclass(frozen=True, slots=True)
class StepEnded:
    """A step of the compactor has ended; a signal.

    Attributes:
        name: The step.
        gained: Bytes that it gained; 0 if it brought nothing.
        seconds: How long it took.
        finished: Whether it came to its end, and was not stopped because work arrived.
    """

    name: str
    gained: int
    seconds: float
    finished: bool


@dataclass(frozen=True, slots=True)
class CompactionStatistics:
    """What the compactor has done so far.

    Attributes:
        running: The step that runs now, or ``None``.
        runs: Steps that came to their end.
        stopped: Steps that were stopped because work arrived.
        gained: Bytes gained, all steps together.
        slowest_stop_s: The longest time that a step took to stop, seconds.
        last: How each step ended when it last did, by name.
    """

    running: str | None
    runs: int
    stopped: int
    gained: int
    slowest_stop_s: float
    last: dict[str, StepEnded]


class Compactor:
    """Runs steps in idle periods; its methods belong to the loop's thread.

    Args:
        loop: The engine's loop.
        timer: The engine's timer.
        clock: The engine's clock.
        signals: Gets a ``StepEnded`` for each step.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, *, timer: UniversalTimer, clock: Clock, signals: Signals
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._signals = signals
        self._core = Compaction(clock.now())
        self._steps: dict[str, CompactionStep] = {}
        self._alarm = Alarm(timer, self._ring)
        self._patience = Alarm(timer, self._goes_on)
        self._stop = Stop()
        self._work: asyncio.Task[None] | None = None
        self._started = False
        self._closed = False
        self._told_at: float | None = None
        self._sign_at = 0.0  # the last sign of life of the step that runs
        self._too_long = False  # it was told to stop because there was none
        self._out: set[str] = set()  # steps whose functions run on a thread
        self._runs = self._stopped = self._gained = 0
        self._slowest_stop = 0.0
        self._last: dict[str, StepEnded] = {}
        self._fell: Callable[[BaseException], object] = _note_fall

    def add(self, step: CompactionStep) -> Callable[[], None]:
        """Add a step after those that are there; return a function that takes it away.

        Raises:
            ConfigError: If there is one of this name, or something of it is impossible.
        """
        if not callable(step.run):
            message = f"run must be a function that takes a Stop, got {step.run!r} (step {step.name!r})"
            raise ConfigError(message, key="run")
        self._core.add(step.name, every=step.every, quiet=step.quiet)
        self._steps[step.name] = step
        self._set_alarm()

        def take_away() -> None:
            if self._steps.get(step.name) is step:
                del self._steps[step.name]
                if self._core.remove(step.name):
                    self._tell()

        return take_away

    def start(self) -> None:
        """Tidy up from now on."""
        self._started = True
        self._set_alarm()

    async def run(self, life: Life) -> None:
        """Be a component: tidy up for as long as it lives."""
        self._fell = life.fail
        self._leave_behind()
        self.start()
        life.ready()
        try:
            await life.wait_told_to_end()
        finally:
            self._started = False
            self._alarm.cancel()

    def ask(self, beat: Callable[[], None]) -> None:
        """Have ``beat`` called unless the step that runs hangs; rule 4."""
        if self._work is None or self._work.done():
            beat()
            return
        now = self._clock.now()
        if self._stop.looked:
            self._stop.looked, self._sign_at = False, now
        if self._told_at is None and now < self._sign_at + LONGEST_S:
            beat()
            return
        if self._told_at is None:
            self._too_long = True
            self._tell()
        self._work.add_done_callback(lambda _: beat())

    def _leave_behind(self) -> None:
        """Give up a step that did not stop when it was told to."""
        work, name = self._work, self._core.running
        if work is None or work.done() or self._told_at is None:
            return
        _log.error("tidying up %r hangs and is left behind; it is not begun again before it has returned", name)
        work.remove_done_callback(self._work_ended)
        work.cancel()
        self._work = None
        self._patience.cancel()
        self._core.ended(self._clock.now(), gained=False, finished=True)

    def busy_changed(self, busy: bool) -> None:
        """Take in that there is work, or none any more."""
        if not busy:
            self._core.idle(self._clock.now())
            self._set_alarm()
        elif self._core.busy():
            self._tell()

    def statistics(self) -> CompactionStatistics:
        """Return what was done so far."""
        return CompactionStatistics(
            running=self._core.running,
            runs=self._runs,
            stopped=self._stopped,
            gained=self._gained,
            slowest_stop_s=self._slowest_stop,
            last=dict(self._last),
        )

    async def aclose(self, *, haste: bool = False) -> None:
        """Stop what runs, and tidy up no more.

        Args:
            haste: Wait for a step only as long as nobody notices.
        """
        self._closed = True
        self._alarm.cancel()
        if self._core.busy():
            self._tell()
        running, limit = self._core.running, haste_s() if haste else _LAST_WAIT_S
        self._fell = lambda _: None  # from here on it is told below
        if self._work is not None and not await wait_or_give_up([self._work], limit):
            _log.error("tidying up %r did not stop within %g s and is left behind", running, limit)
        self._patience.cancel()

    def _set_alarm(self) -> None:
        if self._started and not self._closed:
            at = self._core.next_at()
            if at is not None:
                # It is not taken back when work arrives: it would be set again each time that
                # the engine has nothing to do for an instant.
                self._alarm.set(at)

    def _ring(self) -> None:
        if self._closed:
            return
        try:
            self._begin()
        except Exception as error:  # noqa: BLE001 - it would never ring again
            self._fell(error)

    def _begin(self) -> None:
        now = self._clock.now()
        while (name := self._core.begin(now)) in self._out:
            self._core.ended(now, gained=False, finished=True)  # rule 5
        if name is None:
            self._set_alarm()
            return
        self._stop = Stop()
        self._told_at, self._too_long, self._sign_at = None, False, now
        self._work = self._loop.create_task(self._run(self._steps[name], self._stop), name="tenire compactor")
        self._work.add_done_callback(self._work_ended)

    def _work_ended(self, work: asyncio.Task[None]) -> None:
        error = asyncio.CancelledError() if work.cancelled() else work.exception()
        if error is not None:
            self._stop.request()  # its thread, if it has one, goes on
            self._patience.cancel()
            self._core.ended(self._clock.now(), gained=False, finished=False)
            self._fell(error)

    def _tell(self) -> None:
        self._told_at = self._clock.now()
        self._stop.request()
        self._patience.set(self._told_at + _PATIENCE_S)

    def _goes_on(self) -> None:
        """Name a step that may never stop; what it took is told if it does."""
        _log.error("tidying up %r still goes on %g s after it was told to stop", self._core.running, _PATIENCE_S)

    async def _run(self, step: CompactionStep, stop: Stop) -> None:
        began = self._clock.now()
        gained = 0
        try:
            if inspect.iscoroutinefunction(step.run):
                gained = _bytes(step, await step.run(stop))
            else:
                gained = _bytes(step, await run_blocking(self._noted(step), stop))
        except Exception:  # noqa: BLE001 - rule 3
            _log.exception("tidying up %r failed", step.name)
        if self._work is not asyncio.current_task():
            return  # it was left behind, and another one may run by now
        now = self._clock.now()
        self._patience.cancel()
        if self._told_at is not None:
            self._note_stop(step, now - self._told_at)
        ended = StepEnded(step.name, gained, now - began, finished=self._too_long or not stop.requested)
        self._runs += ended.finished
        self._stopped += not ended.finished
        self._gained += gained
        self._last[step.name] = ended
        self._core.ended(now, gained=gained > 0, finished=ended.finished)
        self._signals.post(ended)
        if ended.finished and not self._closed:
            self._ring()  # the next one, at once
        else:
            self._set_alarm()

    def _noted(self, step: CompactionStep) -> Callable[[StopSign], int]:
        """Return the function of a step, which is noted while it runs."""
        run = cast("Callable[[StopSign], int]", step.run)

        @wraps(run)
        def call(stop: StopSign) -> int:
            self._out.add(step.name)
            try:
                return run(stop)
            finally:
                self._out.discard(step.name)

        return call

    def _note_stop(self, step: CompactionStep, took: float) -> None:
        self._slowest_stop = max(self._slowest_stop, took)
        if took > STOP_S:
            _log.warning("tidying up %r went on for %.3f s though it was told to stop", step.name, took)


def _bytes(step: CompactionStep, gained: Any) -> int:
    """Return what a step gained, which is a number if its author has kept to the rule."""
    try:
        return index(gained)
    except TypeError as error:
        message = f"step {step.name!r} must return the number of bytes that it gained, a whole one, got {gained!r}"
        raise TypeError(message) from error


def _note_fall(error: BaseException) -> None:
    _log.error("tidying up was broken off", exc_info=error)

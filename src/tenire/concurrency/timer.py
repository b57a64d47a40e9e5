"""One timer for the whole engine: one heap, one armed handle of the loop."""

from __future__ import annotations

import contextlib
import inspect
import weakref
from typing import TYPE_CHECKING, Any, Literal

from tenire.core.deadlines import DeadlineHeap, Entry
from tenire.errors import ConfigError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from tenire.clock import Clock

__all__ = ["Alarm", "Missed", "Timeout", "UniversalTimer"]

Missed = Literal["skip", "once", "burst"]
"""What a periodic timer does about ticks that it could not make in time: leave
them out, make up for them with one call, or call once for each."""

_NS = 1_000_000_000
_MOST_BURST = 100


class Timeout:
    """One thing that the timer will call; made by ``UniversalTimer``.

    A bound method is held weakly: a timer never keeps its owner alive, and a dead
    owner is never called.

    Attributes:
        entry: Its place in the heap, or ``None``.
        ended: Whether it was cancelled, or has made its last call.
    """

    __slots__ = ("_call", "_missed", "_period", "_timer", "_weak", "ended", "entry")

    def __init__(
        self, timer: UniversalTimer, callback: Callable[[], object], *, period: int = 0, missed: Missed = "skip"
    ) -> None:
        self._timer = timer
        self._weak = inspect.ismethod(callback)
        self._call: Any = weakref.WeakMethod(callback) if self._weak else callback
        self.entry: Entry[Any] | None = None
        self.ended = False
        self._period = period
        self._missed = missed

    def cancel(self) -> bool:
        """Never call it again, from any thread; return whether it was still to come."""
        if self.ended:
            return False
        # The mark is what counts: on another thread the loop may be about to put it
        # into the heap, or to take it out.
        self.ended = True
        entry, self.entry = self.entry, None
        if entry is not None:
            self._timer.withdraw(entry)
        return True

    @property
    def active(self) -> bool:
        """Whether it is still to come."""
        return not self.ended

    def fire(self, due: int, now: int) -> None:
        """Make the call, and plan the next one if it is periodic."""
        call = self._call() if self._weak else self._call
        self.entry = None
        if call is None or self.ended:
            self.ended = True
            return
        times = 1
        if self._period:
            late = (now - due) // self._period
            times = {"skip": 1, "once": 1 + bool(late), "burst": 1 + min(late, _MOST_BURST)}[self._missed]
            # From the due time, not from now: a periodic timer does not drift.
            self._timer.schedule(self, due + (late + 1) * self._period)
        else:
            self.ended = True
        for _ in range(times):
            call()
            if self._period and self.ended:
                break  # it was cancelled by what it called


class Alarm:
    """Calls one function at the earliest of the times that it was set to."""

    __slots__ = ("__weakref__", "_at", "_call", "_timeout", "_timer")

    def __init__(self, timer: UniversalTimer, call: Callable[[], object]) -> None:
        self._timer = timer
        self._call = call
        self._timeout: Timeout | None = None
        self._at = 0.0

    def set(self, when: float) -> None:
        """Make sure that it rings at ``when`` seconds, or has rung before."""
        if self._timeout is not None:
            if self._at <= when:
                return
            self._timeout.cancel()
        self._at = when
        self._timeout = self._timer.at(when, self._ring)

    def cancel(self) -> None:
        """Do not ring."""
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None

    def _ring(self) -> None:
        self._timeout = None
        self._call()


class UniversalTimer:
    """Calls functions at times, on the engine's loop.

    All methods may be called from any thread.

    Attributes:
        fired: Calls made so far.
        latest_s: The worst lateness so far, seconds.
    """

    def __init__(self, *, loop: asyncio.AbstractEventLoop, clock: Clock, on_thread: Callable[[], bool]) -> None:
        self._loop = loop
        self._clock = clock
        self._on_thread = on_thread
        self._heap: DeadlineHeap[tuple[Timeout, int]] = DeadlineHeap()
        self._armed: asyncio.TimerHandle | None = None
        self._armed_at = 0
        self._closed = False
        self.fired = 0
        self.latest_s = 0.0

    def after(self, delay: float, callback: Callable[[], object]) -> Timeout:
        """Call ``callback`` once, ``delay`` seconds from now."""
        return self._add(Timeout(self, callback), self._clock.now_ns() + round(delay * _NS))

    def at(self, when: float, callback: Callable[[], object]) -> Timeout:
        """Call ``callback`` once at ``when`` seconds of the engine's clock."""
        due = round(when * _NS)
        # Never before it, not even by the rounding: whoever asked would find nothing due,
        # and ask for the same time again.
        return self._add(Timeout(self, callback), due + 1 if due / _NS < when else due)

    def every(self, period: float, callback: Callable[[], object], *, missed: Missed = "skip") -> Timeout:
        """Call ``callback`` every ``period`` seconds, first after one period.

        Raises:
            ConfigError: If the period is not positive.
        """
        if not period > 0:
            message = f"the period of a timer must be a positive number of seconds, got {period!r}"
            raise ConfigError(message, key="period")
        step = max(1, round(period * _NS))
        return self._add(Timeout(self, callback, period=step, missed=missed), self._clock.now_ns() + step)

    def __len__(self) -> int:
        return len(self._heap)

    def close(self) -> None:
        """Forget everything; nothing is called any more."""
        self._closed = True
        if self._armed is not None:
            self._armed.cancel()
            self._armed = None
        self._heap = DeadlineHeap()

    def _add(self, timeout: Timeout, due: int) -> Timeout:
        if self._on_thread():
            self.schedule(timeout, due)
        else:
            self._loop.call_soon_threadsafe(self.schedule, timeout, due)
        return timeout

    def schedule(self, timeout: Timeout, due: int) -> None:
        """Put a timeout into the heap; on the loop's thread."""
        if self._closed or timeout.ended:
            return
        timeout.entry = self._heap.add(due, (timeout, due))
        if self._armed is None or due < self._armed_at:
            self._arm(due)

    def withdraw(self, entry: Entry[Any]) -> None:
        """Take out an entry; see ``Timeout.cancel``."""
        if self._on_thread():
            self._heap.cancel(entry)
        else:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nothing is called any more
                self._loop.call_soon_threadsafe(self._heap.cancel, entry)

    def _call(self, timeout: Timeout, due: int, now: int) -> None:
        try:
            timeout.fire(due, now)
        except Exception as error:  # noqa: BLE001 - foreign code; the others that are due must be called too
            message = "a timer's callback failed"
            self._loop.call_exception_handler({"message": message, "exception": error})

    def _arm(self, due: int) -> None:
        if self._armed is not None:
            self._armed.cancel()
        self._armed_at = due
        delay = max(0, due - self._clock.now_ns()) / _NS
        self._armed = self._loop.call_later(delay, self._ring)

    def _ring(self) -> None:
        self._armed = None
        now = self._clock.now_ns()
        # The loop may ring one resolution of its clock early; then nothing is due yet
        # and the timer is armed again below.
        try:
            for timeout, due in self._heap.pop_due(now):
                if timeout.entry is None:
                    continue  # cancelled by one that was called before it
                self.fired += 1
                self.latest_s = max(self.latest_s, (now - due) / _NS)
                self._call(timeout, due, now)
        finally:
            # A callback may have armed it for something new meanwhile, or closed it.
            due_next = self._heap.next_due()
            if due_next is not None and not self._closed:
                self._arm(due_next)

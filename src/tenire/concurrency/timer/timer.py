"""The timer: a heap under a lock, and one wake-up of the loop for its head.

1. Any thread may add and cancel; calls are made on the loop's thread. The loop is
   woken from outside only by what is due before everything else.
2. Nothing is called early, nothing is called after it was cancelled, and each timeout
   is called by one ring only.
3. A ring makes at most ``MOST_AT_ONCE`` calls, so that the loop comes round in between.
4. The callbacks run in the context in which the timer was made. What happens to be
   current where the head of the heap was added must not become everybody's.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from contextvars import copy_context
from types import CoroutineType
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import WeakMethod

from tenire.concurrency.loops.forks import FORKED, on_fork
from tenire.concurrency.timer.shared_heap import SharedHeap
from tenire.concurrency.timer.statistics import TimerStatistics
from tenire.concurrency.timer.suspension import Suspended, Suspension
from tenire.concurrency.timer.timeout import Flexible, Timeout
from tenire.concurrency.timer.wakeup import make_wake_up
from tenire.core.missed_ticks import ticks_due
from tenire.core.quantiles import QuantileSketch
from tenire.errors import ConfigError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.clock import Asleep, Clock
    from tenire.concurrency.timer.wakeup import WakeUp
    from tenire.core.missed_ticks import Missed

__all__ = ["MOST_AT_ONCE", "UniversalTimer"]

MOST_AT_ONCE = 1000

_NS = 1e9
_NEVER = 1 << 63
_RUNG = -1
_POLICIES = ("skip", "once", "burst")


class UniversalTimer:
    """Calls functions at times, on a loop.

    All methods but ``close`` may be called from any thread.

    Args:
        loop: The loop.
        clock: What says the time.
        on_thread: Returns whether the caller is on the loop's thread.
        on_suspended: Called on the loop when the machine was asleep, before anything
            that is due because of it; must not block.

    Attributes:
        clock: As given.
        fired: Calls made so far.
        latest_s: The worst lateness so far, seconds.
    """

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        on_thread: Callable[[], bool],
        on_suspended: Callable[[Suspended], object] = lambda _: None,
    ) -> None:
        self._loop = loop
        self.clock = clock
        self._now_ns = clock.now_ns
        self._on_thread = on_thread
        self._on_suspended = on_suspended
        self._suspension = Suspension(clock)
        self._context = copy_context()
        self._heap = SharedHeap()
        self._wake_at = _NEVER  # the loop wakes by then
        self._wake_up: WakeUp | None = None  # made on the loop's thread
        self._awaited: set[asyncio.Future[None]] = set()
        self._armed_at: int | None = None
        self._closed = self._forked = False
        self.fired = 0
        self.latest_s = 0.0
        self._failed = self._missed = self._wake_ups = self._suspensions = 0
        self._lateness = QuantileSketch()
        on_fork(self)

    @classmethod
    def of_running_loop(cls, clock: Clock) -> UniversalTimer:
        """Return one for a program without an engine, whose loop runs now; whoever made it closes it.

        Args:
            clock: What says the time.
        """
        here = threading.get_ident()
        return cls(loop=asyncio.get_running_loop(), clock=clock, on_thread=lambda: threading.get_ident() == here)

    # -- the face ---------------------------------------------------------

    def now(self) -> float:
        """Return the seconds of the engine's clock."""
        return self.clock.now()

    async def wait_until(self, when: float) -> None:
        """Wait until ``when`` seconds of the engine's clock, not a moment less; on the loop.

        Raises:
            ConfigError: If the number is impossible.
            RejectedError: If the timer was closed, also meanwhile: the time would never come.
        """
        if when <= self.now():
            return
        come: asyncio.Future[None] = self._loop.create_future()
        ringing = self.at(when, lambda: _come(come))
        if not ringing.active:
            raise _rings_no_more()
        self._awaited.add(come)
        try:
            await come
        finally:
            self._awaited.discard(come)
            ringing.cancel()

    def after(self, delay: float, callback: Callable[[], object], *, slack: float = 0.0) -> Timeout:
        """Call ``callback`` once, ``delay`` seconds from now.

        Args:
            delay: Seconds; the time that the machine is asleep does not count, unless
                the engine's clock goes on meanwhile.
            callback: A plain function, which must not block. A bound method is held weakly.
            slack: Seconds by which it may come later, to share a wake-up with others.

        Raises:
            ConfigError: If a number is impossible.
            RejectedError: In a child process made by ``fork``, where nothing would call it.
        """
        if slack:
            return self._flexible(self._now_ns() + _ns("delay", delay), callback, slack)
        try:
            due = self._now_ns() + round(delay * _NS)
        except (TypeError, ValueError, OverflowError) as error:
            raise _unusable("delay", delay) from error
        return self._add(Timeout(self._heap, due, callback), due)

    def at(self, when: float, callback: Callable[[], object], *, slack: float = 0.0) -> Timeout:
        """Call ``callback`` once at ``when`` seconds of the engine's clock; see ``after``."""
        due = _ns("when", when)
        # Never before it, not even by the rounding: whoever asked would find nothing due,
        # and ask for the same time again.
        due += due / _NS < when
        return self._flexible(due, callback, slack) if slack else self._add(Timeout(self._heap, due, callback), due)

    def every(
        self, period: float, callback: Callable[[], object], *, missed: Missed = "skip", slack: float = 0.0
    ) -> Timeout:
        """Call ``callback`` every ``period`` seconds, first after one period.

        Args:
            period: Seconds, the time that the machine is asleep included.
            callback: As for ``after``.
            missed: What becomes of ticks that could not be made in time: ``skip``, ``once``
                or ``burst``, as ``core.missed_ticks`` has it.
            slack: As for ``after``; what comes later by it moves no later tick.

        Raises:
            ConfigError: If a number is impossible, or there is no such policy.
            RejectedError: As for ``after``.
        """
        step = _ns("period", period)
        if not period > 0:
            message = f"the period of a timer must be a positive number of seconds, got {period!r}"
            raise ConfigError(message, key="period")
        if missed not in _POLICIES:
            message = f"missed must be one of {', '.join(_POLICIES)}, got {missed!r}"
            raise ConfigError(message, key="missed")
        return self._flexible(self._now_ns() + step, callback, slack, max(1, step), missed)

    def __len__(self) -> int:
        with self._heap.lock:
            self._heap.bury()
            return self._heap.live

    def statistics(self) -> TimerStatistics:
        """Return what was done so far."""
        with self._heap.lock:
            self._heap.bury()
            late = self._lateness.quantiles((0.5, 0.99))
            return TimerStatistics(
                live=self._heap.live,
                fired=self.fired,
                failed=self._failed,
                missed=self._missed,
                wake_ups=self._wake_ups,
                p50_s=late[0.5],
                p99_s=late[0.99],
                latest_s=self.latest_s,
                suspensions=self._suspensions,
            )

    def close(self) -> None:
        """Forget everything; nothing is called any more, and who waits for a time is refused. On the loop's thread."""
        with self._heap.lock:
            self._closed = True
            for timeout, _ in self._heap.take_due(_NEVER):
                timeout.ended = True
            self._heap.bereaved.clear()
        if not self._loop.is_closed():  # there, nobody goes on
            for come in self._awaited:
                if not come.done():
                    come.set_exception(_rings_no_more())
        # In a child made by ``fork``, to stop watching a descriptor stops the parent's loop from watching it.
        if self._wake_up is not None and not self._forked:
            self._wake_up.close()
            self._wake_up = None

    def forked(self) -> None:
        """Refuse everything in a child process made by ``fork``; see ``loops.forks``."""
        self._closed = self._forked = True
        self._heap.forked()

    # -- the heap ---------------------------------------------------------

    def _flexible(
        self, due: int, callback: Callable[[], object], slack: float, period: int = 0, missed: Missed = "skip"
    ) -> Timeout:
        room = _ns("slack", slack)
        if room < 0:
            message = f"the slack of a timer must be 0 seconds or more, got {slack!r}"
            raise ConfigError(message, key="slack")
        return self._add(Flexible(self._heap, due, callback, room, period, missed), due + room)

    def _add(self, timeout: Timeout, latest: int) -> Timeout:
        heap = self._heap
        try:
            with heap.lock:
                if heap.bereaved:
                    heap.bury()
                if self._closed:
                    timeout.ended = True
                    if self._forked:
                        _refuse_in_fork()
                    return timeout
                heap.put(timeout, latest)
                if latest >= self._wake_at:
                    return timeout
                self._wake_at = latest
            if self._on_thread():
                self._arm()
            else:
                self._loop.call_soon_threadsafe(self._arm, context=self._context)
        except RuntimeError:  # the loop was closed by whoever owns it
            raise
        except BaseException:
            # Ctrl-C, perhaps before the loop knows by when to wake, and others may count on that by now. Told
            # once too often it does nothing; interrupted here once more, it is told by whoever adds next.
            if not self._closed:
                self._wake_at = _NEVER
                with contextlib.suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._arm, context=self._context)
            raise
        return timeout

    # -- the loop's thread ------------------------------------------------

    def _arm(self) -> None:
        with self._heap.lock:
            due = self._heap.next_due()
            self._wake_at = _NEVER if due is None else due
        if due == self._armed_at or self._closed:
            return
        if self._wake_up is None:
            self._wake_up = make_wake_up(self._loop, self.clock, self._ring, self._context)
        self._armed_at = _RUNG  # until it is set: whoever is interrupted meanwhile leaves that to be done
        if due is None:
            self._wake_up.unset()
        else:
            self._wake_up.set(max(0, due - self._now_ns()))
        self._armed_at = due

    def _ring(self) -> None:
        self._armed_at = _RUNG
        self._wake_ups += 1
        asleep = self._suspension.look()
        if asleep.total_ns:
            self._wake(asleep)
        now = self._now_ns()
        with self._heap.lock:
            self._heap.bury()
            # The loop may ring one resolution of its clock early; then nothing is due yet.
            due = iter(self._heap.take_due(now, MOST_AT_ONCE))
        try:
            for timeout, payload in due:
                self._call(timeout, payload, now, asleep.total_ns)
        finally:
            with self._heap.lock:
                for timeout, payload in due:  # the program is being ended by one of them
                    if not (timeout.ended or self._closed):
                        timeout.payload = payload
                        self._heap.put(timeout, timeout.due + timeout.slack)
            self._arm()

    def _call(self, timeout: Timeout, payload: Any, now: int, asleep: int) -> None:
        call = payload() if type(payload) is WeakMethod else payload
        with self._heap.lock:
            if timeout.ended or call is None or self._closed:
                timeout.ended = True  # cancelled by one that was called before it, or its owner is gone
                return
            late, calls = now - timeout.due, 1
            if timeout.period:
                calls, left_out, timeout.due = ticks_due(timeout.due, now, timeout.period, timeout.missed)
                self._missed += left_out
                timeout.payload = payload
                self._heap.put(timeout, timeout.due + timeout.slack)
            else:
                timeout.ended = True
            # Being asleep is not being late.
            lateness = max(0, late - asleep) / _NS
            self._lateness.add(lateness)
            if lateness > self.latest_s:
                self.latest_s = lateness
        for _ in range(calls):
            self.fired += 1
            try:
                made = call()
                if type(made) is CoroutineType:
                    _refuse(made)
            except Exception as error:  # noqa: BLE001 - foreign code; the others that are due must be called too
                self._failed += 1
                self._loop.call_exception_handler({"message": "a timer's callback failed", "exception": error})
            if calls > 1 and timeout.ended:
                break  # it was cancelled by what it called

    def _wake(self, asleep: Asleep) -> None:
        """Take in that the machine was asleep."""
        self._suspensions += 1
        with self._heap.lock:
            if asleep.unseen_ns:
                self._heap.bring_forward(asleep.unseen_ns, _is_periodic)
        try:
            self._on_suspended(Suspended(asleep.total_ns / _NS, self._suspension.certain))
        except Exception as error:  # noqa: BLE001 - as a callback
            self._loop.call_exception_handler({"message": "on_suspended failed", "exception": error})


def _come(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _rings_no_more() -> RejectedError:
    return RejectedError("this timer was closed with its engine, and rings no more")


def _is_periodic(timeout: Timeout) -> bool:
    return timeout.period > 0


def _refuse(coroutine: CoroutineType[Any, Any, Any]) -> None:
    coroutine.close()
    message = f"a timer calls plain functions, and {coroutine.__qualname__!r} returned a coroutine, which nobody runs"
    raise ConfigError(message, key="callback", hint="have a plain function submit it, or start a task for it")


def _refuse_in_fork() -> NoReturn:
    message = f"this timer calls nothing here: {FORKED}"
    raise RejectedError(message)


def _ns(what: str, seconds: float) -> int:
    try:
        return round(seconds * _NS)
    except (TypeError, ValueError, OverflowError) as error:
        raise _unusable(what, seconds) from error


def _unusable(what: str, seconds: float) -> ConfigError:
    return ConfigError(f"{what} must be a finite number of seconds, got {seconds!r}", key=what)

"""Virtual time: an asyncio loop that jumps to whatever comes next.

The rules are told in ``sim_loop``, which adds executors and a clean end.
"""

# ruff: noqa: SLF001 - a loop is made of the privates of BaseEventLoop and Handle

from __future__ import annotations

import asyncio
import gc
import heapq
import math
import random
import threading
import weakref
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

from tenire.testing.clock import to_ns
from tenire.testing.sim_parts import (
    SimClock,
    SimDeadlockError,
    SimFuture,
    SimLimitError,
    SimTask,
    callback_label,
    describe_task,
    refuse_everything_real,
)
from tenire.testing.trace import Trace

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Coroutine
    from contextvars import Context
    from typing import TypeVarTuple, Unpack

    Ts = TypeVarTuple("Ts")

__all__ = ["VirtualLoop"]

T = TypeVar("T")

_COLLECT_EVERY = 200_000  # steps between two runs of the cycle collector
_PURGE_ABOVE = 100  # cancelled timers that may stay in the heap


@refuse_everything_real
class VirtualLoop(asyncio.BaseEventLoop):
    """Time, timers, callbacks and tasks of ``SimLoop``."""

    # Privates of BaseEventLoop and Handle, unchanged from 3.11 to 3.14; typeshed
    # does not know them.
    _ready: deque[Any]
    _stopping: bool
    _debug: bool
    _check_closed: Callable[[], None]
    _collected = 0

    def __init__(
        self, seed: int, *, max_virtual_seconds: float | None, max_steps: int | None, reading_takes: float
    ) -> None:
        super().__init__()
        self.seed = seed
        self.trace = Trace()
        self.clock = SimClock(self)
        self.steps = 0
        self._clock_resolution = 1e-9
        self._now_ns = 0
        self._reading_ns = to_ns(reading_takes)
        self._limit_ns = None if max_virtual_seconds is None else to_ns(max_virtual_seconds)
        self._limit_steps = max_steps
        self._order = random.Random(f"{seed}/order")
        self._heap: list[tuple[int, int, int, Any]] = []
        self._pushed = 0
        self._cancelled_timers = 0
        self._ordinals = 0
        self._tasks: weakref.WeakValueDictionary[int, SimTask[Any]] = weakref.WeakValueDictionary()
        self._failed: weakref.WeakValueDictionary[int, SimFuture[Any]] = weakref.WeakValueDictionary()
        self._owner = threading.get_ident()

    # Time

    def time(self) -> float:
        """Return virtual seconds since the loop was made."""
        return self._now_ns / 1e9

    def now_ns(self) -> int:
        """Return virtual nanoseconds since the loop was made."""
        return self._now_ns

    def read_ns(self) -> int:
        """Let the time pass that a reading of the clock takes, and return ``now_ns``."""
        self._now_ns += self._reading_ns
        return self._now_ns

    def suspend(self, seconds: float, *, unseen: bool = False) -> None:
        """Let time pass without running anything, as when the lid is closed.

        Args:
            seconds: How long.
            unseen: Whether the loop's own time stands still meanwhile, as on Linux and
                macOS; otherwise it goes on, as on Windows.
        """
        self.clock.sleep_ns(to_ns(seconds), unseen=unseen)
        if not unseen:
            self._now_ns += to_ns(seconds)

    # Scheduling

    def call_at_ns(
        self, when_ns: int, callback: Callable[[], object], *, context: Context | None = None
    ) -> asyncio.Handle:
        """Run ``callback`` at a virtual time, as the end of an operation of a fake."""
        self._check_closed()
        handle = asyncio.Handle(callback, (), self, context)
        self._push(when_ns, handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run ``callback`` after ``delay`` virtual seconds."""
        # Added up in nanoseconds: 0.1 s + 0.2 s and 0.3 s are the same moment.
        when_ns = None if math.isinf(delay) else self._now_ns + (to_ns(delay) if delay > 0 else 0)
        return self._call_at(when_ns, math.inf if when_ns is None else when_ns / 1e9, callback, args, context)

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run ``callback`` as soon as ``time() >= when``."""
        return self._call_at(None if math.isinf(when) else to_ns(when), when, callback, args, context)

    def _call_at(
        self,
        when_ns: int | None,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: Context | None,
    ) -> asyncio.TimerHandle:
        self._check_closed()
        timer: Any = asyncio.TimerHandle(when, callback, args, self, context)
        if when_ns is not None:  # a timer at infinity never fires, and must not hide a deadlock
            self._push(when_ns, timer)
            timer._scheduled = True
        return cast("asyncio.TimerHandle", timer)

    def _push(self, when_ns: int, handle: asyncio.Handle) -> None:
        self._pushed += 1
        heapq.heappush(self._heap, (when_ns, self._order.getrandbits(32), self._pushed, handle))

    def _timer_handle_cancelled(self, handle: Any) -> None:
        if handle._scheduled:
            self._cancelled_timers += 1

    def call_soon_threadsafe(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Run ``callback`` soon.

        Raises:
            RuntimeError: From another thread: its timing would not be repeatable.
        """
        if threading.get_ident() != self._owner:
            msg = (
                f"SimLoop runs on one thread, but {threading.current_thread().name!r} called call_soon_threadsafe(): "
                "use loop.run_in_executor() or a FakeExecutor instead of real threads"
            )
            raise RuntimeError(msg)
        return self.call_soon(callback, *args, context=context)

    def _run_once(self) -> None:
        if not self._ready and not self._stopping:
            self._jump()
        self._take_due()
        for _ in range(len(self._ready)):
            handle = self._ready.popleft()
            if handle._cancelled:
                continue
            self.steps += 1
            kind = "timer" if isinstance(handle, asyncio.TimerHandle) else "run"
            self.trace.record(self._now_ns, kind, callback_label(handle._callback))
            handle._run()
        if self._limit_steps is not None and self.steps >= self._limit_steps:
            self._over_limit(f"{self._limit_steps} steps")
        if self.steps // _COLLECT_EVERY != self._collected:
            self._collected = self.steps // _COLLECT_EVERY
            gc.collect()

    def _jump(self) -> None:
        """Move time to whatever comes next."""
        self._drop_cancelled()
        if not self._heap:
            waiting = "\n".join(describe_task(task) for task in self.pending_tasks()) or "  (no task at all)"
            msg = (
                f"deadlock at virtual time {self.time()} s: nothing can run, no timer and no operation is under way\n"
                f"{waiting}\nlatest steps:\n{self.trace.tail()}"
            )
            raise SimDeadlockError(msg)
        when_ns = self._heap[0][0]
        if self._limit_ns is not None and when_ns > self._limit_ns:
            self._over_limit(f"{self._limit_ns / 1e9} virtual seconds")
        self._now_ns = max(self._now_ns, when_ns)

    def _take_due(self) -> None:
        heap = self._heap
        while heap and heap[0][0] <= self._now_ns:
            handle = heapq.heappop(heap)[3]
            self._ready.append(handle)
            if getattr(handle, "_scheduled", False):  # a timer; a fake operation has no such mark
                handle._scheduled = False
                self._cancelled_timers -= handle._cancelled

    def _drop_cancelled(self) -> None:
        heap = self._heap
        if self._cancelled_timers > _PURGE_ABOVE and self._cancelled_timers * 2 > len(heap):
            heap[:] = [entry for entry in heap if not entry[3]._cancelled]
            heapq.heapify(heap)
            self._cancelled_timers = 0
        while heap and heap[0][3]._cancelled:
            heapq.heappop(heap)
            self._cancelled_timers = max(0, self._cancelled_timers - 1)

    def _over_limit(self, limit: str) -> NoReturn:
        waiting = "\n".join(describe_task(task) for task in self.pending_tasks())
        msg = f"not finished within {limit}\n{waiting}\nlatest steps:\n{self.trace.tail()}"
        raise SimLimitError(msg)

    def run_forever(self) -> None:
        """Run until ``stop``; the cycle collector runs at fixed steps only."""
        # An automatic collection depends on what the process did before. It
        # finalises async generators and futures, which schedules callbacks.
        collecting = gc.isenabled()
        gc.disable()
        try:
            super().run_forever()
        finally:
            if collecting:
                gc.enable()

    # Tasks and futures

    def create_future(self) -> SimFuture[Any]:
        """Return a future that hashes by ordinal."""
        self._ordinals += 1
        return SimFuture(self._ordinals, self._failed, loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None, **kwargs: Any
    ) -> asyncio.Task[T]:
        """Return a task that hashes by ordinal, named ``Task-N`` by this loop's own count."""
        if self.get_task_factory() is not None:
            return super().create_task(coro, name=name, context=context, **kwargs)
        self._check_closed()
        self._ordinals += 1
        ordinal = self._ordinals
        task: SimTask[T] = SimTask(
            ordinal, coro, loop=self, name=f"Task-{ordinal}" if name is None else name, context=context, **kwargs
        )
        self._tasks[ordinal] = task
        return task

    def pending_tasks(self) -> list[asyncio.Task[Any]]:
        """Return the tasks that are not done, oldest first."""
        return [task for _, task in sorted(self._tasks.items()) if not task.done()]

"""What wakes the loop for the timer.

On Linux a loop waits for whole milliseconds, rounded up: its own timers come 0.7 ms late
on average and 2 ms now and then. The kernel has timers that can be waited for like a
socket and are exact to some hundredths of a millisecond (``timerfd_create(2)``). Loops
of other systems wait exactly, or cannot watch such a thing.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
import weakref
from typing import TYPE_CHECKING, Protocol

from tenire.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from contextvars import Context

    from tenire.clock import Clock

__all__ = ["KernelWakeUp", "LoopWakeUp", "WakeUp", "make_wake_up"]

_SECOND_NS = 1_000_000_000
_LONGEST_NS = 86_400 * _SECOND_NS
"""A day, as asyncio has it: whoever waits longer is woken in between, and waits again."""


class WakeUp(Protocol):
    """Rings once, after the delay it was set to last; on the loop's thread."""

    def set(self, delay_ns: int) -> None:
        """Ring in so many nanoseconds, 0 or more; after a day at the latest."""
        ...

    def unset(self) -> None:
        """Do not ring. After a ring this, or ``set``, must be called."""
        ...

    def close(self) -> None:
        """Do not ring, and never be set again."""
        ...


def make_wake_up(loop: asyncio.AbstractEventLoop, clock: Clock, ring: Callable[[], object], context: Context) -> WakeUp:
    """Return the most exact that there is on this system, for this loop and clock; on the loop's thread.

    Args:
        loop: The loop.
        clock: What the delays are measured with. The kernel knows the system's only.
        ring: Called on the loop; it must bear to come early.
        context: What ``ring`` is called in, or in a copy of it.
    """
    if sys.platform == "linux" and clock is SYSTEM_CLOCK:
        try:
            return KernelWakeUp(loop, ring, context)
        # No such timer in this kernel or sandbox, no free descriptor, or a loop that can watch none.
        except (OSError, AttributeError, NotImplementedError):
            pass
    return LoopWakeUp(loop, ring, context)


class LoopWakeUp:
    """Rings by the loop's own timers."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], object], context: Context) -> None:
        self._loop, self._ring, self._context = loop, ring, context
        self._handle: asyncio.TimerHandle | None = None

    def set(self, delay_ns: int) -> None:
        """Ring in so many nanoseconds."""
        self.unset()
        self._handle = self._loop.call_later(delay_ns / _SECOND_NS, self._ring, context=self._context)

    def unset(self) -> None:
        """Do not ring."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    close = unset


class KernelWakeUp:
    """Rings by a timer of the Linux kernel, which the loop watches.

    Its descriptor stays readable from the ring until it is set or unset, so nothing has
    to be read from it.

    Raises:
        OSError: If the kernel gives none.
        NotImplementedError: If the loop can watch none.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], object], context: Context) -> None:
        # The functions of ``os`` are there from 3.13 only. And they let go of the
        # interpreter's lock; beside busy threads, getting it back takes 5 ms.
        library = ctypes.PyDLL(None, use_errno=True)
        self._settime = library.timerfd_settime
        # Two times of two longs, seconds and nanoseconds: the period, which stays 0, and the delay.
        self._times = (ctypes.c_long * 4)()
        self._address = ctypes.c_void_p(ctypes.addressof(self._times))
        self._loop = loop
        fd = library.timerfd_create(time.CLOCK_MONOTONIC, os.O_CLOEXEC | os.O_NONBLOCK)
        if fd < 0:
            raise _failure("timerfd_create")
        # Who forgets to close a timer loses no descriptor, as with the loop's own timers.
        self._give_back = weakref.finalize(self, os.close, fd)
        self._give_back.atexit = False  # an engine that nobody closed ends after that, and its timer with it
        self._fd = fd
        # A copy: who sets a timer may be running in that context itself.
        context.copy().run(loop.add_reader, fd, ring)

    def set(self, delay_ns: int) -> None:
        """Ring in so many nanoseconds."""
        # 0 would mean never.
        self._times[2], self._times[3] = divmod(min(max(1, delay_ns), _LONGEST_NS), _SECOND_NS)
        self._apply()

    def unset(self) -> None:
        """Do not ring."""
        self._times[2] = self._times[3] = 0
        self._apply()

    def close(self) -> None:
        """Do not ring, and give the descriptor back."""
        if self._give_back.alive:
            self._loop.remove_reader(self._fd)
            self._give_back()

    def _apply(self) -> None:
        if self._settime(self._fd, 0, self._address, None) < 0:
            raise _failure("timerfd_settime")


def _failure(function: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{function}: {os.strerror(number)}")

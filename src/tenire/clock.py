"""The only door to time.

Product code asks a ``Clock`` instead of the ``time`` module, so that tests can
put a manual clock in its place. ``now`` never goes back; ``wall`` is for people
and for the ledger, and may jump.

What else is different from system to system is how to see that the machine was
asleep, and whether ``now`` went on meanwhile:

======== ====================== =============================================
system   ``now`` while asleep   asleep since the start of the system
======== ====================== =============================================
Linux    stands still           ``CLOCK_BOOTTIME`` less ``CLOCK_MONOTONIC``
macOS    stands still           ``CLOCK_MONOTONIC_RAW`` less ``CLOCK_UPTIME_RAW``
Windows  goes on                ``GetTickCount64`` less ``QueryUnbiasedInterruptTime``
others   is not known           is not known
======== ====================== =============================================
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SYSTEM_CLOCK", "Asleep", "Clock", "SleepClock", "SystemClock"]


class Clock(Protocol):
    """A source of time."""

    def now(self) -> float:
        """Return seconds on a clock that never goes back."""
        ...

    def now_ns(self) -> int:
        """Return nanoseconds on the same clock as ``now``."""
        ...

    def wall(self) -> float:
        """Return seconds since the epoch; may jump."""
        ...


class Asleep(NamedTuple):
    """How long the machine was asleep since some beginning.

    Attributes:
        total_ns: Nanoseconds.
        unseen_ns: Nanoseconds of them in which ``now`` stood still.
    """

    total_ns: int
    unseen_ns: int


@runtime_checkable
class SleepClock(Clock, Protocol):
    """A clock that may know whether the machine was asleep."""

    def asleep(self) -> Asleep | None:
        """Return how long the machine was asleep; ``None`` if that cannot be known."""
        ...


class SystemClock:
    """The operating system's clocks."""

    now = staticmethod(time.monotonic)
    now_ns = staticmethod(time.monotonic_ns)
    wall = staticmethod(time.time)

    def __init__(self) -> None:
        self._asleep: Callable[[], Asleep] | None = None
        self._looked = False

    def asleep(self) -> Asleep | None:
        """Return how long the machine was asleep; ``None`` if that cannot be known."""
        if not self._looked:
            self._asleep, self._looked = _sleep_reader(sys.platform), True
        return None if self._asleep is None else self._asleep()


def _sleep_reader(platform: str) -> Callable[[], Asleep] | None:
    """Return what reads the time asleep on a system, or ``None``."""
    try:
        reader = _windows() if platform == "win32" else _two_clocks(*_NAMES.get(platform, ("", "")))
        reader()
    except (AttributeError, OSError):  # an old kernel, or a sandbox that does not have these
        return None
    return reader


_NAMES = {
    "linux": ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"),
    "darwin": ("CLOCK_MONOTONIC_RAW", "CLOCK_UPTIME_RAW"),
}
"""The clock that goes on while the machine is asleep, and its like that stands still."""


def _two_clocks(going_on: str, standing: str) -> Callable[[], Asleep]:
    read: Callable[[int], int] = time.clock_gettime_ns
    awake, always = getattr(time, standing), getattr(time, going_on)

    def asleep() -> Asleep:
        # This one first: what passes between the two readings must not make it negative.
        stood = read(awake)
        total = read(always) - stood
        return Asleep(total, total)

    return asleep


def _windows() -> Callable[[], Asleep]:
    import ctypes  # not at the head: no other system needs it, and it takes milliseconds

    kernel = ctypes.WinDLL("kernel32")  # type: ignore[attr-defined,unused-ignore]  # there on Windows only
    kernel.GetTickCount64.restype = ctypes.c_uint64
    tenths = ctypes.c_uint64()  # tenths of a microsecond
    address = ctypes.byref(tenths)

    def asleep() -> Asleep:
        if not kernel.QueryUnbiasedInterruptTime(address):
            raise OSError("QueryUnbiasedInterruptTime failed")
        return Asleep(max(0, kernel.GetTickCount64() * 1_000_000 - tenths.value * 100), 0)

    return asleep


SYSTEM_CLOCK = SystemClock()

"""What a timer has done so far."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TimerStatistics"]


@dataclass(frozen=True, slots=True)
class TimerStatistics:
    """What a timer has done so far. Lateness is in seconds after the time that was asked for.

    Attributes:
        live: Calls to come.
        fired: Calls made.
        failed: Calls that raised.
        missed: Ticks of periodic timers that got no call of their own.
        wake_ups: How often the loop was woken.
        p50_s: Half of the calls were not later than this, within 1 %; ``None`` before the first.
        p99_s: The same for 99 of 100.
        latest_s: The worst lateness.
        suspensions: How often the machine was seen to have been asleep.
    """

    live: int
    fired: int
    failed: int
    missed: int
    wake_ups: int
    p50_s: float | None
    p99_s: float | None
    latest_s: float
    suspensions: int

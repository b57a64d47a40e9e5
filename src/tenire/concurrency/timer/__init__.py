"""One timer for the whole engine: one heap, one armed handle of the loop."""

from __future__ import annotations

from tenire.concurrency.timer.alarm import Alarm
from tenire.concurrency.timer.statistics import TimerStatistics
from tenire.concurrency.timer.suspension import Suspended
from tenire.concurrency.timer.timeout import Timeout
from tenire.concurrency.timer.timer import UniversalTimer
from tenire.core.missed_ticks import Missed

__all__ = ["Alarm", "Missed", "Suspended", "Timeout", "TimerStatistics", "UniversalTimer"]

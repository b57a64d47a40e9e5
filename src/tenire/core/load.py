"""How loaded the machine is: one number, four levels, and the signal behind them.

Each signal (a share of stalled time, a share of memory, seconds of waiting) is
laid on one scale by its own three thresholds, and the worst one counts:

::

    0 ─── normal ─── ¼ ─── elevated ─── ½ ─── high ─── ¾ ─── critical ─── 1

1. ``0 <= index <= 1``. A signal that is missing is left out: absent on this system
   means unknown, never "no load".
2. A level goes up as far as the last ``RISE`` samples all say, at once.
3. It goes down to the worst of the last ``FALL`` samples, never below.
4. The signal that is named is the one of the latest sample that was at least as
   bad as the level.

The thresholds of stalled time follow the kernel's guide to pressure stall
information and oomd's defaults; two samples up and ten down is oomd's rule "now
*and* for a while" in its smallest form.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "FALL",
    "MACHINE",
    "OWN",
    "QUEUE",
    "RISE",
    "Hysteresis",
    "Level",
    "LoadIndex",
    "Reading",
    "Thresholds",
    "judge",
]

RISE = 2
"""Samples in a row that must agree before a level goes up."""

FALL = 10
"""Samples in a row that must agree before a level goes down."""

_NEVER = float("inf")


class Level(IntEnum):
    """How loaded the machine is."""

    NORMAL = 0
    ELEVATED = 1
    HIGH = 2
    CRITICAL = 3


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which value on a signal counts as elevated, high and critical.

    Infinity for one that never counts as that bad.
    """

    elevated: float
    high: float
    critical: float

    def index(self, value: float) -> float:
        """Return a value's place on the scale from 0 to 1."""
        below, index = 0.0, 0.0
        for threshold in (self.elevated, self.high, self.critical):
            if threshold == _NEVER:
                return index
            if value < threshold:
                return index + 0.25 * max(0.0, value - below) / (threshold - below)
            below, index = threshold, index + 0.25
        # Beyond the last threshold, a stretch as wide as the one before it.
        return min(1.0, index + 0.25 * (value - below) / (below - self.high))


MACHINE: Mapping[str, Thresholds] = {
    # The share of our cores' time that other programs use. They get the cores that
    # they ask for (see ``pool_size``), so this alone never becomes critical.
    "foreign_cpu": Thresholds(0.3, 0.6, _NEVER),
    # The share of time in which others had to wait for a core.
    "cpu_pressure": Thresholds(0.2, 0.4, _NEVER),
    # The share of memory in use: of the machine, or of the tightest group around us.
    "memory_used": Thresholds(0.90, 0.95, 0.98),
    # The share of time in which something, or everything, stood still for want of memory.
    "memory_some": Thresholds(0.10, 0.25, 0.50),
    "memory_full": Thresholds(0.05, 0.15, 0.40),
    # What macOS itself says: 1 normal, 2 warning, 4 critical.
    "memory_warning": Thresholds(2.0, 3.0, 4.0),
    # 1 while the battery is being used, 2 when it is nearly empty.
    "battery": Thresholds(1.0, 2.0, _NEVER),
    # The temperature as a share of the one at which the machine slows itself down.
    "heat": Thresholds(0.94, 1.0, 1.08),
}
"""Signals of the machine, whoever loads it. Fewer tasks at a time help against all of them."""

QUEUE: Mapping[str, Thresholds] = {
    # Seconds that interactive work waited for its turn.
    "queue_wait": Thresholds(0.02, 0.2, 2.0),
}
"""The signal of urgent work that waits behind other work: a matter of order, for which nothing is left out."""

OWN: Mapping[str, Thresholds] = {
    # Seconds by which the loop is late.
    "loop_lag": Thresholds(0.025, 0.1, 0.5),
    # Everything waited for the disk; our own journal may be the cause, so it only warns.
    "io_full": Thresholds(0.4, _NEVER, _NEVER),
}
"""Signals of the engine's own crowding. Fewer slots would only make them worse."""


_TEXTS: Mapping[str, str] = {
    "foreign_cpu": "other programs use {:.0%} of the processor",
    "cpu_pressure": "other programs wait for the processor {:.0%} of the time",
    "memory_used": "{:.0%} of the memory is in use",
    "memory_some": "programs stand still for want of memory {:.0%} of the time",
    "memory_full": "everything stands still for want of memory {:.0%} of the time",
    "memory_warning": "the system warns of too little memory (level {:.0f})",
    "battery": "the machine runs on its battery",
    "heat": "the machine is hot: {:.0%} of the temperature at which it slows down",
    "queue_wait": "interactive work waits for its turn for {:.2g} s",
    "loop_lag": "the event loop is late by {:.2g} s",
    "io_full": "everything waits for the disk {:.0%} of the time",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """What one sample says.

    Attributes:
        index: The load from 0 to 1, or ``None`` if no signal was there.
        signal: The name of the worst signal, or ``None``.
        value: That signal's value.
    """

    index: float | None
    signal: str | None = None
    value: float | None = None

    @property
    def level(self) -> Level:
        """The level of this sample alone."""
        return Level.NORMAL if self.index is None else Level(min(3, int(self.index * 4)))

    def __str__(self) -> str:
        if self.signal is None:
            return "nothing is known of the load"
        return _TEXTS[self.signal].format(self.value)


def judge(signals: Mapping[str, float | None], thresholds: Mapping[str, Thresholds]) -> Reading:
    """Return the worst of the signals that are there and have thresholds."""
    worst = Reading(None)
    for name, limits in thresholds.items():
        value = signals.get(name)
        if value is None or value != value:
            continue  # unknown; "not a number" is the one that differs from itself
        index = limits.index(value)
        if worst.index is None or index > worst.index:
            worst = Reading(index, name, value)
    return worst


class Hysteresis:
    """A whole number that follows its samples: up quickly, down slowly.

    Attributes:
        value: The number.
    """

    __slots__ = ("_samples", "value")

    def __init__(self, value: int = 0) -> None:
        self.value = value
        self._samples: deque[int] = deque(maxlen=FALL)

    def observe(self, sample: int) -> int:
        """Take in a sample and return the number that holds from now on."""
        samples = self._samples
        samples.append(sample)
        if len(samples) >= RISE:
            self.value = max(self.value, min(list(samples)[-RISE:]))
        if len(samples) == FALL:
            self.value = min(self.value, max(samples))
        return self.value

    def check(self) -> None:
        """Verify rules 2 and 3."""
        samples = list(self._samples)
        if len(samples) >= RISE:
            assert self.value >= min(samples[-RISE:])
        if len(samples) == FALL:
            assert self.value <= max(samples)


class LoadIndex:
    """The load by one set of signals.

    Attributes:
        reading: The last sample.
        level: The level, with hysteresis.
        cause: The sample that stands for the level, or ``None`` at ``NORMAL``.
    """

    __slots__ = ("_hysteresis", "_readings", "_thresholds", "cause", "level", "reading")

    def __init__(self, thresholds: Mapping[str, Thresholds]) -> None:
        self._thresholds = thresholds
        self._hysteresis = Hysteresis()
        self._readings: deque[Reading] = deque(maxlen=FALL)
        self.reading = Reading(None)
        self.level = Level.NORMAL
        self.cause: Reading | None = None

    def observe(self, signals: Mapping[str, float | None]) -> Level:
        """Take in a sample and return the level that holds from now on."""
        reading = self.reading = judge(signals, self._thresholds)
        self._readings.append(reading)
        level = self.level = Level(self._hysteresis.observe(reading.level))
        # There is one: the level is never above the worst of these samples (rule 3).
        as_bad = (reading for reading in reversed(self._readings) if reading.level >= level)
        self.cause = next(as_bad) if level else None
        return level

    def check(self) -> None:
        """Verify the rules."""
        self._hysteresis.check()
        assert self.reading.index is None or 0.0 <= self.reading.index <= 1.0
        assert (self.cause is None) == (self.level == Level.NORMAL)
        assert self.cause is None or self.cause.level >= self.level

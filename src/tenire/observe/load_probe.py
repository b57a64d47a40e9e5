"""One look at everything that tells how loaded the machine is."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tenire.observe.memory_use import MemoryMeter
from tenire.observe.power import HeatMeter, battery_signal
from tenire.observe.pressure import PressureMeter
from tenire.observe.processor import ProcessorMeter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["LoadProbe", "LoadSample"]

_POWER_EVERY_S = 15.0
"""Batteries and temperatures move slowly, and are dear to read."""

_WHOLE = 0.05  # cores' worth; below it nothing computes and shares of it mean nothing


@dataclass(frozen=True, slots=True)
class LoadSample:
    """What one look found.

    Attributes:
        signals: By name, as in ``core.load``; what cannot be seen is left out.
        foreign: Cores' worth of our CPU time that other programs use, or ``None``.
        cores: Cores' worth of CPU time that would be ours if we were alone, or ``None``.
    """

    signals: Mapping[str, float | None] = field(default_factory=dict)
    foreign: float | None = None
    cores: float | None = None


class LoadProbe:
    """Reads everything; off the loop, since it reads files.

    Args:
        root: What ``proc``, ``sys`` and the control groups are below of; for tests.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._pressure = PressureMeter(root)
        self._processor = ProcessorMeter(root)
        self._memory = MemoryMeter(root)
        self._heat = HeatMeter(root)
        self._power: dict[str, float | None] = {}
        self._power_at: float | None = None

    def sample(self, now: float, workers: Iterable[int] = ()) -> LoadSample:
        """Look once; takes some tenths of a millisecond.

        Args:
            now: Seconds on a clock that never goes back.
            workers: Process ids of the workers alive now.
        """
        signals: dict[str, float | None] = dict(self._pressure.sample(now))
        signals |= self._memory.sample()
        if self._power_at is None or now >= self._power_at + _POWER_EVERY_S:
            self._power_at = now
            self._power = {"battery": battery_signal(self._root), "heat": self._heat.sample()}
        signals |= self._power
        use = self._processor.sample(now, workers)
        waiting = signals.pop("cpu_some", None)
        if use is None:
            return LoadSample(signals)
        signals["foreign_cpu"] = use.foreign / use.usable
        if waiting is not None and use.own + use.foreign > _WHOLE:
            # Our own workers wait for each other too; others get the part of the
            # stalled time that their part of the use stands for.
            signals["cpu_pressure"] = waiting * use.foreign / (use.own + use.foreign)
        return LoadSample(signals, use.foreign, use.usable)

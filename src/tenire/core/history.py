"""How long tasks of a name usually take, for deadlines.

Only tasks with a deadline are recorded: for others nobody asks. The median of
the last ``KEPT`` durations is compared with the time that is left; with fewer
than ``ENOUGH`` there is no opinion.
"""

from __future__ import annotations

from collections import deque
from statistics import median

__all__ = ["ENOUGH", "KEPT", "DurationHistory"]

KEPT = 32
ENOUGH = 5
_NAMES = 1024


class DurationHistory:
    """Recent durations by task name; the least recently used names are forgotten."""

    __slots__ = ("_durations",)

    def __init__(self) -> None:
        self._durations: dict[str, deque[float]] = {}

    def record(self, name: str, seconds: float) -> None:
        """Record that a task of this name took so long."""
        durations = self._durations.pop(name, None)
        if durations is None:
            durations = deque(maxlen=KEPT)
            if len(self._durations) >= _NAMES:
                del self._durations[next(iter(self._durations))]
        durations.append(seconds)
        self._durations[name] = durations

    def usual(self, name: str) -> float | None:
        """Return the median duration in seconds, or ``None`` if too few are known."""
        durations = self._durations.get(name)
        return median(durations) if durations is not None and len(durations) >= ENOUGH else None

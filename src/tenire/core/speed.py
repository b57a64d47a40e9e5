"""How fast a pipeline is, and when it will be done."""

from __future__ import annotations

from collections import deque
from math import exp

__all__ = ["Speed", "TimeLeft"]

_WINDOW = 10.0
_SETTLES = 10.0


class Speed:
    """Bytes a second over the last ten seconds.

    A run begins with what is unchanged, which passes at once. An average over
    the whole run would promise that pace to the end; the window forgets it.
    """

    __slots__ = ("_samples",)

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def update(self, done: int, *, now: float) -> float:
        """Take a sample and return the speed.

        Args:
            done: Bytes done so far.
            now: Seconds on a clock that never goes back.

        Returns:
            Bytes per second; 0 until two samples are there.
        """
        self._samples.append((now, done))
        # One sample beyond the window stays: the speed is always over all of it.
        while len(self._samples) > 2 and self._samples[1][0] <= now - _WINDOW:
            self._samples.popleft()
        since, before = self._samples[0]
        return max(0.0, (done - before) / (now - since)) if now > since else 0.0

    @staticmethod
    def remaining(left: int, speed: float) -> float | None:
        """Return the seconds until ``left`` bytes are done, or ``None`` if nothing moves."""
        if left <= 0:
            return 0.0
        return left / speed if speed > 0 else None


class TimeLeft:
    """The time until something is done, as people can bear to read it.

    A speed goes up and down with every batch, and the time that it promises with it. What
    is shown counts down by itself, and moves a part of the way to each new promise: most of
    it within ``_SETTLES`` seconds.
    """

    __slots__ = ("_at", "_left")

    def __init__(self) -> None:
        self._at = 0.0
        self._left: float | None = None

    def update(self, promised: float | None, *, now: float) -> float | None:
        """Take in a promise and return the time to show.

        Args:
            promised: Seconds, as the speed of this moment has it, or ``None`` if nothing moves.
            now: Seconds on a clock that never goes back.

        Returns:
            Seconds, or ``None`` if nothing moves; 0 once nothing is left.
        """
        if not promised or self._left is None:
            self._left = promised
        else:
            passed = now - self._at
            counted = max(0.0, self._left - passed)
            self._left = counted + (promised - counted) * (1.0 - exp(-passed / _SETTLES))
        self._at = now
        return self._left

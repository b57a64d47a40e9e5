"""How fast a pipeline is, and when it will be done."""

from __future__ import annotations

from collections import deque

__all__ = ["Speed"]

_WINDOW = 10.0


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

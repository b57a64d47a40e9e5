"""How many calls of the last seconds failed.

1. A result counts for ``length`` seconds after it came, and then no more.
2. The first ``EXACT`` results are kept one by one. When there are more, those that came
   within a thousandth of ``length`` are kept as one, with the time of the first: at the
   most ``2 * EXACT`` entries are kept, whatever the load.
3. A clock that goes back a little (two threads that read it in turns) makes a result as
   old as the one before it. One that goes back by more than ``length`` has been set:
   what came before it is forgotten.
4. Where only the latest so many results count, an older one is dropped for each that comes.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise

__all__ = ["EXACT", "OutcomeWindow"]

EXACT = 1000


class OutcomeWindow:
    """The results of the last seconds.

    Args:
        length: Seconds for which a result counts.
        most: Results that count at the most, up to ``EXACT``; ``None``: all.

    Attributes:
        calls: Results in the window, as of the last one that came.
        failures: Those of them that are failures.
    """

    __slots__ = ("_entries", "_grain", "_length", "_most", "calls", "failures")

    def __init__(self, length: float, most: int | None = None) -> None:
        self._length = length
        self._most = most
        self._grain = length / EXACT
        self._entries: deque[list[float]] = deque()  # of [time, calls, failures]
        self.calls = 0
        self.failures = 0

    def add(self, now: float, *, failed: bool) -> None:
        """Take in a result, and drop those that are too old."""
        entries = self._entries
        if entries:
            latest = entries[-1][0]
            if now < latest - self._length:
                self.clear()
            elif now < latest:
                now = latest
            while entries and (now - entries[0][0] >= self._length or self.calls == self._most):
                _, calls, failures = entries.popleft()
                self.calls -= int(calls)
                self.failures -= int(failures)
        if entries and len(entries) >= EXACT and now - entries[-1][0] < self._grain:
            entries[-1][1] += 1
            entries[-1][2] += failed
        else:
            entries.append([now, 1, failed])
        self.calls += 1
        self.failures += failed

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self.calls = self.failures = 0

    def check(self) -> None:
        """Verify the rules."""
        entries = list(self._entries)
        assert len(entries) <= 2 * EXACT + 1
        assert self._most is None or self.calls <= self._most
        assert self.calls == sum(entry[1] for entry in entries)
        assert self.failures == sum(entry[2] for entry in entries)
        assert all(0 <= entry[2] <= entry[1] for entry in entries)
        assert all(before[0] <= after[0] for before, after in pairwise(entries))
        assert not entries or entries[-1][0] - entries[0][0] < self._length

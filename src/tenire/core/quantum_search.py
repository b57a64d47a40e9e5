"""By how many seconds a server enforces the limit of a minute.

Some enforce 600 calls a minute as 10 a second, and do not say so: then they refuse what
the minute has room for. For each refusal some candidates explain it: those in whose
seconds more than their part of the limit was sent.

1. The largest candidate that explains all refusals is taken, from the third one on.
2. It is enforced from then on, so it explains no further refusal: the next one rules it
   out, and a smaller one is taken. Each of them costs one refusal, and none is tried twice.
3. When none is left it was something else, and all is forgotten.
4. Somebody else who used the same quota for a while may have looked like it. So after
   ``TRUSTED`` windows without a refusal the whole window is tried again; one refusal is
   enough then to go back, for twice as long.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CANDIDATES", "ENOUGH", "TRUSTED", "QuantumSearch"]

CANDIDATES = (1 / 2, 1 / 3, 1 / 4, 1 / 6, 1 / 10, 1 / 12, 1 / 20, 1 / 30, 1 / 60)
"""Parts of a window."""
ENOUGH = 3
"""Refusals; fewer may be chance."""
TRUSTED = 240.0
"""Windows."""
_MEMORY = 10.0
"""Windows after which a refusal is forgotten."""


class QuantumSearch:
    """Looks for the quantum of one metric.

    Args:
        window: Seconds.

    Attributes:
        quantum: Seconds, or ``None`` if the window is enforced as a whole.
    """

    __slots__ = ("_enough", "_left", "_refused", "_trusted", "_until", "_window", "quantum")

    def __init__(self, window: float) -> None:
        self._window = window
        self._left = [part * window for part in CANDIDATES]
        self._refused: deque[tuple[float, int]] = deque()
        self.quantum: float | None = None
        self._enough = ENOUGH
        self._trusted = TRUSTED * window
        self._until = 0.0

    def refused(
        self, sent_at: float, amount: int, sent: Iterable[tuple[float, int]], limit: int, margin: float
    ) -> bool:
        """Take in that a call was refused though the window had room; return whether that changed the quantum.

        Args:
            sent_at: When it was sent.
            amount: What it needed.
            sent: ``(time, amount)`` of what was sent within the last window, this call and
                others that were refused included.
            limit: Units in one window.
            margin: By how much the time on the way varies, seconds.
        """
        refused = self._refused
        while refused and refused[0][0] < sent_at - _MEMORY * self._window:
            refused.popleft()
        refused.append((sent_at, amount))
        counted = [*sent, *((at, -units) for at, units in refused)]

        def explains(quantum: float) -> bool:
            start, end = sent_at - quantum - margin, sent_at + margin
            return amount + sum(units for at, units in counted if start < at <= end) > limit * quantum / self._window

        self._left = [quantum for quantum in self._left if explains(quantum)]
        before = self.quantum
        if not self._left:
            self.forget()
        elif self.quantum is not None or len(refused) >= self._enough:
            # One that holds is never kept once it is ruled out, though those who led to it are forgotten.
            self.quantum = self._left[0]
            self._until = sent_at + self._trusted
        return self.quantum is not None and self.quantum != before

    def relax(self, now: float) -> bool:
        """Try the whole window again if it is time; return whether it is."""
        if self.quantum is None or now < self._until:
            return False
        self.quantum = None
        self._enough = 1
        self._trusted *= 2
        return True

    def forget(self) -> None:
        """Begin anew: it was something else."""
        self._left = [part * self._window for part in CANDIDATES]
        self._refused.clear()
        self.quantum = None
        self._enough = ENOUGH

    def check(self) -> None:
        """Verify that the quantum is one of those that are left, the largest."""
        assert self.quantum is None or self.quantum == self._left[0]
        assert self._left == sorted(self._left, reverse=True)

"""Which functions' arguments, or values, are quick to pickle: learnt from the last times.

An object of a user's class is pickled by code that nobody knows, so at first that
happens on a thread. A thread costs two wake-ups and a fight for the interpreter
lock, more than the whole trip to the worker. So what was quick several times in a
row is then done on the loop's thread, and measured there too.

Rules:
    1. A key is trusted after it was quick as often in a row as it needs.
    2. Once slow, it starts again and needs twice as often: what varies ends up on
       the thread, and a slow one holds up the loop ever more seldom.
"""

from __future__ import annotations

__all__ = ["QUICK_S", "Known", "Quickness"]

QUICK_S = 1e-4
"""Seconds up to which pickling is quick; the trip through a thread takes as long."""

_FIRST_NEED = 3
_MOST_NEED = 1 << 20
_MOST_KEYS = 4096


class Quickness:
    """What was learnt, by key; any thread may note, a lost note is no harm."""

    __slots__ = ("_runs",)

    def __init__(self) -> None:
        self._runs: dict[bytes, tuple[int, int]] = {}

    def trusts(self, key: bytes) -> bool:
        """Return whether it was quick so often that the loop may do it."""
        quick, needed = self._runs.get(key, (0, _FIRST_NEED))
        return quick >= needed

    def note(self, key: bytes, seconds: float) -> None:
        """Say how long it took; infinite for what was too large."""
        quick, needed = self._runs.get(key, (0, _FIRST_NEED))
        if seconds > QUICK_S:
            quick, needed = 0, min(2 * needed, _MOST_NEED)
        elif quick < needed:
            quick += 1
        else:
            return
        if len(self._runs) >= _MOST_KEYS:
            self._runs.clear()
        self._runs[key] = quick, needed

    def check(self) -> None:
        """Verify the rules that hold at any time."""
        for quick, needed in self._runs.values():
            assert 0 <= quick <= needed
            assert _FIRST_NEED <= needed <= _MOST_NEED


class Known:
    """What an engine knows about functions, each by its reference.

    Attributes:
        calls: Pickling their arguments.
        values: Unpickling what they return.
    """

    __slots__ = ("calls", "values")

    def __init__(self) -> None:
        self.calls = Quickness()
        self.values = Quickness()

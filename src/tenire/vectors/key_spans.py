"""A set of passages as runs of their keys: small, since the passages of a document have consecutive keys."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["KeySpans"]

# Lance tests every row against every run; each costs about 0.1 ms on 100,000 rows.
_MOST_RUNS = 100


class KeySpans:
    """Keys, in runs that do not touch each other.

    Args:
        spans: First key and number of keys of each run; in any order, they may touch.
    """

    __slots__ = ("_ends", "_firsts", "total")

    def __init__(self, spans: Iterable[tuple[int, int]]) -> None:
        self._firsts: list[int] = []
        self._ends: list[int] = []
        for first, count in sorted(spans):
            if count <= 0:
                continue
            if self._ends and first <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], first + count)
            else:
                self._firsts.append(first)
                self._ends.append(first + count)
        self.total = sum(self._ends) - sum(self._firsts)
        """How many keys there are."""

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, int):
            return False
        place = bisect_right(self._firsts, key) - 1
        return place >= 0 and key < self._ends[place]

    def condition(self) -> str | None:
        """Return the condition that a row's ``key`` is in the set, or ``None`` where that would be long and slow."""
        if len(self._firsts) > _MOST_RUNS:
            return None
        runs = zip(self._firsts, self._ends, strict=True)
        return " OR ".join(f"(key >= {first} AND key < {end})" for first, end in runs) or "false"

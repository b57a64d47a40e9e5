"""Which passages of a ranking have the first so many different texts, with as few of them read as can be.

To read a passage costs as much as to rank fifty. Equal texts are told by their hash, which has to
be read; but they have the same words, and vectors that are the same but for rounding. So of a
ranking its beginning is read, as far as the texts there differ for certain, and what may be a copy
of one of these further down: most often all at once, and little more than is returned.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

__all__ = ["HashedRow", "Ranked", "first_texts"]

# Two embeddings of one text, in other company and cut to 16 bits, are less than a tenth of this apart.
_SAME_COSINE = 1e-3


class HashedRow(Protocol):
    """What has to be known of a passage; the rest is the store's."""

    @property
    def text_hash(self) -> bytes:
        """Hash of its text."""
        ...


_RowT = TypeVar("_RowT", bound=HashedRow)


class Ranked(NamedTuple):
    """A place in a ranking.

    Attributes:
        key: The passage's.
        score: Higher is better.
        cosine: Of its vector to the query's; ``None`` if it was not found by that.
        relevance: Of its words; ``None`` if it was not found by these.
    """

    key: int
    score: float
    cosine: float | None = None
    relevance: float | None = None


def first_texts(
    fetch: Callable[[Collection[int]], Mapping[int, _RowT]], ranked: Sequence[Ranked], k: int
) -> tuple[list[tuple[_RowT, float]], int]:
    """Return the passages of the first ``k`` different texts with their scores, and how many texts these are.

    Args:
        fetch: Returns passages by key; a key that is not there is left out.
        ranked: Best first, each key once.
        k: How many different texts.
    """
    rows: dict[int, _RowT] = {}
    asked: set[int] = set()
    texts: dict[bytes, None] = {}
    seen = _Seen()
    end = 0
    while len(texts) < k and end < len(ranked):
        # Passages may have left, and rarely are copies less alike than they should be: then it is read on.
        end = _far_enough(ranked, end, k - len(texts), seen)
        wanted = [*ranked[:end], *(place for place in ranked[end:] if seen.may_hold(place))]
        keys = [place.key for place in wanted if place.key not in asked]
        asked.update(keys)
        rows.update(fetch(keys))
        texts = dict.fromkeys(rows[place.key].text_hash for place in ranked[:end] if place.key in rows)
    first = set(islice(texts, k))
    chosen = [(rows[place.key], place.score) for place in ranked if place.key in rows]
    return [(row, score) for row, score in chosen if row.text_hash in first], len(first)


def _far_enough(ranked: Sequence[Ranked], start: int, wanted: int, seen: _Seen) -> int:
    """Return the end of the shortest stretch from ``start`` with so many new texts for certain, and have it seen."""
    for end in range(start, len(ranked)):
        if not wanted:
            return end
        wanted -= not seen.may_hold(ranked[end])
        seen.add(ranked[end])
    return len(ranked)


class _Seen:
    """What was found of some passages, to tell whether another one may have the text of one of them."""

    def __init__(self) -> None:
        self._cosines: list[float] = []
        self._without_words: list[float] = []
        self._with_words: dict[float, list[float | None]] = {}

    def add(self, place: Ranked) -> None:
        if place.cosine is not None:
            insort(self._cosines, place.cosine)
        if place.relevance is not None:
            self._with_words.setdefault(place.relevance, []).append(place.cosine)
        elif place.cosine is not None:
            insort(self._without_words, place.cosine)

    def may_hold(self, place: Ranked) -> bool:
        """Return whether everything that is known of a passage and of one of these is the same."""
        if place.relevance is None:
            return _near(self._cosines, place.cosine)
        others = self._with_words.get(place.relevance, ())
        return any(
            other is None or place.cosine is None or abs(other - place.cosine) <= _SAME_COSINE for other in others
        ) or _near(self._without_words, place.cosine)


def _near(cosines: list[float], cosine: float | None) -> bool:
    """Return whether a cosine is that of one of these, which are in order."""
    if cosine is None:
        return False
    place = bisect_left(cosines, cosine - _SAME_COSINE)
    return place < len(cosines) and cosines[place] <= cosine + _SAME_COSINE

"""Merging ranked lists that score on different scales.

Reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009): an item scores
``1 / (k + rank)`` in every list that holds it. Only places count, so a cosine and
a BM25 value never have to be compared.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

__all__ = ["DAMPING", "reciprocal_rank_fusion", "vector_weight"]

Item = TypeVar("Item", bound="Hashable")


DAMPING = 3
"""The paper damps the lead of the first places with 60. Where a question has one answer, the first places count."""

_COARSE = "wordllama"
_COARSE_WEIGHT = 0.4


def vector_weight(embedder: str) -> float:
    """Return how much a place among the nearest vectors counts, against one among the best words.

    Chosen by ``benchmarks/retrieval.py``, on questions that are not those that it reports. Vectors
    of single words know too little of a passage to count as much as the words themselves: with equal
    weights the merged list was worse than the words alone (0.33 against 0.40, as mean of one over
    the place of the answer).

    Args:
        embedder: Identity of the embedder that the store was built with.
    """
    return _COARSE_WEIGHT if embedder.startswith(_COARSE) else 1.0


def reciprocal_rank_fusion(
    rankings: Iterable[Sequence[Item]], *, k: int = DAMPING, weights: Iterable[float] | None = None
) -> list[tuple[Item, float]]:
    """Merge ranked lists into one.

    Args:
        rankings: Lists of items, best first, without repeats inside a list.
        k: Damps the lead of the first places.
        weights: How much each list counts, in their order; all the same if left out.

    Returns:
        Each item once with its score, best first. Items of equal score keep the
        order in which they first appear, so the result is deterministic.
    """
    scores: dict[Item, float] = {}
    for ranking, weight in zip(rankings, repeat(1.0) if weights is None else weights, strict=False):
        for rank, item in enumerate(ranking, start=1):
            scores[item] = scores.get(item, 0.0) + weight / (k + rank)
    return sorted(scores.items(), key=lambda entry: -entry[1])

"""Merging ranked lists that score on different scales.

Reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009): an item scores
``1 / (k + rank)`` in every list that holds it. Only places count, so a cosine and
a BM25 value never have to be compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

__all__ = ["reciprocal_rank_fusion"]

Item = TypeVar("Item", bound="Hashable")


def reciprocal_rank_fusion(rankings: Iterable[Sequence[Item]], *, k: int = 60) -> list[tuple[Item, float]]:
    """Merge ranked lists into one.

    Args:
        rankings: Lists of items, best first, without repeats inside a list.
        k: Damps the lead of the first places; 60 is the paper's choice.

    Returns:
        Each item once with its score, best first. Items of equal score keep the
        order in which they first appear, so the result is deterministic.
    """
    scores: dict[Item, float] = {}
    for ranking in rankings:
        for rank, item in enumerate(ranking, start=1):
            scores[item] = scores.get(item, 0.0) + 1.0 / (k + rank)
    return sorted(scores.items(), key=lambda entry: -entry[1])

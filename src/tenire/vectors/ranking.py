"""From a query to the best passages of a store, by vector, by words, or by both."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from tenire.vectors.fusion import reciprocal_rank_fusion
from tenire.vectors.lance_table import StoredPassage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tenire.vectors.lance_table import LanceTable
    from tenire.vectors.text_index import TextIndex

__all__ = ["best_texts"]

_LEAST_DEPTH = 50
_MOST_DEPTH = 3200

_Ranked: TypeAlias = list[tuple[StoredPassage, float]]


def best_texts(
    table: LanceTable,
    words: TextIndex | None,
    query: str,
    vector: NDArray[np.float32] | None,
    *,
    k: int,
    exact: bool,
) -> _Ranked:
    """Return the passages of the best ``k`` different texts with their scores, best first.

    Args:
        table: The passages.
        words: The text index, or ``None`` to rank by vector only.
        query: Any text.
        vector: The query's vector, or ``None`` to rank by words only.
        k: How many different texts; each may stand in several passages.
        exact: Compare with every vector, even where there is an index.

    Raises:
        StoreError: If the store cannot be read.
    """
    depth = max(_LEAST_DEPTH, 4 * k)
    while True:
        ranked, complete = _ranked(table, words, query, vector, depth, exact=exact)
        chosen, texts = _first_texts(ranked, k)
        # Copies of one passage can fill any list; look deeper until there are k texts.
        if texts >= k or complete or depth >= _MOST_DEPTH:
            return chosen
        depth *= 4


def _ranked(
    table: LanceTable,
    words: TextIndex | None,
    query: str,
    vector: NDArray[np.float32] | None,
    depth: int,
    *,
    exact: bool,
) -> tuple[_Ranked, bool]:
    """Return passages with scores, best first, and whether a deeper look could find no more."""
    # A vector without a direction (an empty query's) is near to nothing.
    near = table.nearest(vector, limit=depth, exact=exact) if vector is not None and vector.any() else []
    matches = words.search(query, limit=depth) if words is not None else []
    complete = len(near) < depth and len(matches) < depth
    if words is None:
        return [(passage, passage.similarity) for passage in near], complete
    passages = {passage.key: passage for passage in near}
    passages |= table.fetch([match.key for match in matches if match.key not in passages])
    # A passage may have left between the two looks.
    matches = [match for match in matches if match.key in passages]
    if vector is None:
        return [(passages[match.key], match.score) for match in matches], complete
    # Two lists alone would let a passage that is second in both win over the one that holds the
    # very words that were asked for. Being found word for word counts as a list of its own.
    fused = reciprocal_rank_fusion(
        [
            [passage.key for passage in near],
            [match.key for match in matches],
            [match.key for match in matches if match.in_a_row],
        ]
    )
    return [(passages[key], score) for key, score in fused], complete


def _first_texts(ranked: _Ranked, k: int) -> tuple[_Ranked, int]:
    """Return the passages of the first ``k`` different texts, and how many texts there are among them."""
    texts: set[bytes] = set()
    chosen: _Ranked = []
    for passage, score in ranked:
        if passage.text_hash not in texts:
            if len(texts) == k:
                continue
            texts.add(passage.text_hash)
        chosen.append((passage, score))
    return chosen, len(texts)

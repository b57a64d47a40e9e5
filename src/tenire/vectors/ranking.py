"""From a query to the best passages of a store, by vector, by words, or by both."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from tenire.vectors.fusion import reciprocal_rank_fusion
from tenire.vectors.passage_rows import StoredPassage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tenire.vectors.key_spans import KeySpans
    from tenire.vectors.table_view import TableView
    from tenire.vectors.text_index import TextIndex

__all__ = ["best_texts"]

_LEAST_DEPTH = 50
_MOST_DEPTH = 3200

_Ranked: TypeAlias = list[tuple[StoredPassage, float]]


def best_texts(
    table: TableView,
    words: TextIndex,
    query: str,
    vector: NDArray[np.float32] | None,
    *,
    k: int,
    mode: str,
    exact: bool,
    within: KeySpans | None = None,
) -> _Ranked:
    """Return the passages of the best ``k`` different texts with their scores, best first.

    Args:
        table: The passages, at the version that the text index reflects.
        words: The text index.
        query: Any text.
        vector: The query's vector; not used by the mode ``text``.
        k: How many different texts; each may stand in several passages.
        mode: ``hybrid``, ``vector`` or ``text``.
        exact: Compare with every vector, even where there is an index.
        within: Keys of the only passages to look at, or ``None`` for all.

    Raises:
        StoreError: If the store cannot be read.
    """
    depth = max(_LEAST_DEPTH, 4 * k)
    while True:
        if mode == "text":
            ranked, complete = _by_words(table, words, query, depth, within)
        elif mode == "vector":
            ranked, complete = _by_vector(table, words, query, vector, depth, within, exact=exact)
        else:
            ranked, complete = _by_both(table, words, query, vector, depth, within, exact=exact)
        chosen, texts = _first_texts(ranked, k)
        # Copies of one passage can fill any list; look deeper until there are k texts.
        if texts >= k or complete or depth >= _MOST_DEPTH:
            return chosen
        depth *= 4


# Each of these returns passages with scores, best first, and whether a deeper look
# could find no more.


def _by_words(
    table: TableView, words: TextIndex, query: str, depth: int, within: KeySpans | None
) -> tuple[_Ranked, bool]:
    matches = words.search(query, limit=depth, within=within)
    passages = table.fetch([match.key for match in matches])
    # A passage may have left between the two looks.
    ranked = [(passages[match.key], match.score) for match in matches if match.key in passages]
    return ranked, len(matches) < depth


def _by_vector(
    table: TableView,
    words: TextIndex,
    query: str,
    vector: NDArray[np.float32] | None,
    depth: int,
    within: KeySpans | None,
    *,
    exact: bool,
) -> tuple[_Ranked, bool]:
    near = _nearest(table, vector, depth, within, exact=exact)
    complete = len(near) < depth
    # The vector of one sentence is not the nearest to that of the passage that it stands
    # in: of 120 sentences from a manual, 77 led to their page. Who asks for a whole
    # sentence means that passage, so where it is found word for word it goes first.
    sentence = words.verbatim(query, limit=depth, within=within)
    if not sentence:
        return [(passage, passage.similarity) for passage in near], complete
    places = {passage.key: place for place, passage in enumerate(near)}
    passages = {passage.key: passage for passage in near}
    passages |= table.fetch([key for key in sentence if key not in passages])
    sentence = sorted((key for key in sentence if key in passages), key=lambda key: places.get(key, depth))
    first = set(sentence)
    ranked = [(passages[key], 1.0) for key in sentence]
    return ranked + [(passage, passage.similarity) for passage in near if passage.key not in first], complete


def _by_both(
    table: TableView,
    words: TextIndex,
    query: str,
    vector: NDArray[np.float32] | None,
    depth: int,
    within: KeySpans | None,
    *,
    exact: bool,
) -> tuple[_Ranked, bool]:
    near = _nearest(table, vector, depth, within, exact=exact)
    matches = words.search(query, limit=depth, within=within)
    passages = {passage.key: passage for passage in near}
    passages |= table.fetch([match.key for match in matches if match.key not in passages])
    matches = [match for match in matches if match.key in passages]
    # Two lists alone would let a passage that is second in both win over the one that holds the
    # very words that were asked for. Being found word for word counts as a list of its own.
    fused = reciprocal_rank_fusion(
        [
            [passage.key for passage in near],
            [match.key for match in matches],
            [match.key for match in matches if match.in_a_row],
        ]
    )
    return [(passages[key], score) for key, score in fused], len(near) < depth and len(matches) < depth


def _nearest(
    table: TableView, vector: NDArray[np.float32] | None, depth: int, within: KeySpans | None, *, exact: bool
) -> list[StoredPassage]:
    # A vector without a direction (an empty query's) is near to nothing.
    if vector is None or not vector.any():
        return []
    return table.nearest(vector, limit=depth, exact=exact, within=within)


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

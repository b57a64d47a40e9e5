"""From a query to the best passages of a store, by vector, by words, or by both.

Rankings are made of keys alone. Rows are read late, for those passages that can be in the
result: reading one costs as much as ranking fifty.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from tenire.vectors.aside import Aside
from tenire.vectors.fusion import reciprocal_rank_fusion
from tenire.vectors.passage_rows import StoredPassage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tenire.vectors.key_spans import KeySpans
    from tenire.vectors.question import Question
    from tenire.vectors.table_view import TableView
    from tenire.vectors.text_index import TextIndex
    from tenire.vectors.text_query import TextMatch

__all__ = ["best_texts"]

_LEAST_DEPTH = 50
_MOST_DEPTH = 3200

_Chosen: TypeAlias = list[tuple[StoredPassage, float]]


class _Ranked(NamedTuple):
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


def best_texts(
    table: TableView, words: TextIndex, question: Question, *, within: KeySpans | None = None, weight: float = 1.0
) -> _Chosen:
    """Return the passages of the best ``k`` different texts with their scores, best first.

    Args:
        table: The passages, at the version that the text index reflects.
        words: The text index.
        question: What is asked.
        within: Keys of the only passages to look at, or ``None`` for all.
        weight: How much a place by vector counts in ``hybrid``, against one by words.

    Raises:
        StoreError: If the store cannot be read.
    """
    query, k, mode = question.query, question.k, question.mode
    depth = max(_LEAST_DEPTH, 4 * k)
    while True:
        # A ranking is complete if a deeper look could find no more.
        if mode == "text":
            matches = words.search(query, limit=depth, within=within)
            ranked, complete = _by_words(matches), len(matches) < depth
        elif mode == "vector":
            near = _nearest(table, question, depth, within)
            sentence = words.verbatim(query, limit=depth, within=within)
            ranked, complete = _by_vector(_ordered(near, words), sentence), len(near) < depth
        else:
            looking = Aside(partial(_nearest, table, question, depth, within))
            try:
                matches = words.search(query, limit=depth, within=within)
            finally:
                near = looking.result()
            ranked, complete = (
                _by_both(_ordered(near, words), matches, weight),
                len(near) < depth and len(matches) < depth,
            )
        chosen, texts = _first_texts(table, ranked, k)
        # Copies of one passage can fill any list; look deeper until there are k texts.
        if texts >= k or complete or depth >= _MOST_DEPTH:
            return chosen
        depth *= 4


def _by_words(matches: Iterable[TextMatch]) -> list[_Ranked]:
    return [_Ranked(match.key, match.score, relevance=match.score) for match in matches]


def _by_vector(near: dict[int, float], sentence: list[int]) -> list[_Ranked]:
    # The vector of one sentence is not the nearest to that of the passage that it stands
    # in: of 120 sentences from a manual, 77 led to their page. Who asks for a whole
    # sentence means that passage, so where it is found word for word it goes first.
    places = {key: place for place, key in enumerate(near)}
    first = sorted(sentence, key=lambda key: places.get(key, len(places)))
    ranked = [_Ranked(key, 1.0, near.get(key), relevance=1.0) for key in first]
    verbatim = set(sentence)
    return ranked + [_Ranked(key, cosine, cosine) for key, cosine in near.items() if key not in verbatim]


def _by_both(near: dict[int, float], matches: list[TextMatch], weight: float) -> list[_Ranked]:
    # Two lists alone would let a passage that is second in both win over the one that holds the
    # very words that were asked for. Being found word for word counts as a list of its own.
    fused = reciprocal_rank_fusion(
        [list(near), [match.key for match in matches], [match.key for match in matches if match.in_a_row]],
        weights=(weight, 1.0, 1.0),
    )
    relevance = {match.key: match.score for match in matches}
    return [_Ranked(key, score, near.get(key), relevance.get(key)) for key, score in fused]


def _nearest(table: TableView, question: Question, depth: int, within: KeySpans | None) -> dict[int, float]:
    vector = question.vector
    # A vector without a direction (an empty query's) is near to nothing.
    if vector is None or not vector.any():
        return {}
    return table.nearest(vector, limit=depth, exact=question.exact, within=within)


def _ordered(near: dict[int, float], words: TextIndex) -> dict[int, float]:
    """Return keys and cosines, best first; those of equal cosine by document and place."""
    if len(set(near.values())) == len(near):
        return near
    # Keys depend on the order in which documents came; results must not.
    owners = words.owners(near)
    return dict(sorted(near.items(), key=lambda entry: (-entry[1], owners.get(entry[0], ("", 0)))))


def _alike(place: _Ranked, other: _Ranked) -> bool:
    """Return whether two passages may have the same text, by what was found of each."""
    return (
        (place.cosine == other.cosine or None in (place.cosine, other.cosine))
        and (place.relevance == other.relevance or None in (place.relevance, other.relevance))
        and not (place.cosine != other.cosine and place.relevance != other.relevance)
    )


def _first_texts(table: TableView, ranked: list[_Ranked], k: int) -> tuple[_Chosen, int]:
    """Return the passages of the first ``k`` different texts, and how many texts there are among them."""
    texts: set[bytes] = set()
    chosen: _Chosen = []
    taken: list[_Ranked] = []
    end = 0
    while len(texts) < k and end < len(ranked):
        start, end = end, end + 3 * k
        rows = table.fetch([place.key for place in ranked[start:end]])
        for place in ranked[start:end]:
            row = rows.get(place.key)
            if row is None or (row.text_hash not in texts and len(texts) == k):
                continue
            texts.add(row.text_hash)
            chosen.append((row, place.score))
            taken.append(place)
    # Further down there may be copies of these. Of equal texts, vectors and words are equal too.
    alike = [place for place in ranked[end:] if any(_alike(place, other) for other in taken)]
    rows = table.fetch([place.key for place in alike])
    chosen += [
        (rows[place.key], place.score) for place in alike if place.key in rows and rows[place.key].text_hash in texts
    ]
    return chosen, len(texts)

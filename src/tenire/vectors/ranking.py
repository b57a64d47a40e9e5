"""From a query to the best passages of a store, by vector, by words, or by both.

Rankings are made of keys alone. Rows are read late, for those passages that can be in the result.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from tenire.vectors.aside import Aside
from tenire.vectors.first_texts import HashedRow, Ranked, first_texts
from tenire.vectors.fusion import reciprocal_rank_fusion

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from tenire.vectors.question import Question
    from tenire.vectors.text_query import TextMatch

__all__ = ["PassageLook", "WordLook", "best_texts"]

_LEAST_DEPTH = 50
_MOST_DEPTH = 3200


_RowT_co = TypeVar("_RowT_co", bound=HashedRow, covariant=True)
_RowT = TypeVar("_RowT", bound=HashedRow)
_Within = TypeVar("_Within")
_Within_contra = TypeVar("_Within_contra", contravariant=True)


class PassageLook(Protocol[_RowT_co, _Within_contra]):
    """The passages of a store, in one state of it."""

    def nearest(
        self, vector: NDArray[np.float32], *, limit: int, exact: bool, within: _Within_contra | None = None
    ) -> dict[int, float]:
        """Return the keys of the nearest passages with their cosines, best first."""
        ...

    def fetch(self, keys: Collection[int]) -> Mapping[int, _RowT_co]:
        """Return passages by key; a key that is not there is left out."""
        ...


class WordLook(Protocol[_Within_contra]):
    """The words of the same passages, in the same state."""

    def search(self, query: str, *, limit: int, within: _Within_contra | None = None) -> list[TextMatch]:
        """Return up to ``limit`` passages that hold words of ``query``, best first."""
        ...

    def verbatim(self, query: str, *, limit: int, within: _Within_contra | None = None) -> list[int]:
        """Return the keys of passages that hold a whole sentence word for word."""
        ...

    def owners(self, keys: Iterable[int]) -> dict[int, tuple[str, int]]:
        """Return the document of each key that is there, and the passage's place in it."""
        ...


def best_texts(
    table: PassageLook[_RowT, _Within],
    words: WordLook[_Within],
    question: Question,
    *,
    within: _Within | None = None,
    weight: float = 1.0,
) -> list[tuple[_RowT, float]]:
    """Return the passages of the best ``k`` different texts with their scores, best first.

    Args:
        table: The passages, at the version that the text index reflects.
        words: The text index.
        question: What is asked.
        within: The only passages to look at, in the store's own way, or ``None`` for all.
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
        chosen, texts = first_texts(table.fetch, ranked, k)
        # Copies of one passage can fill any list; look deeper until there are k texts.
        if texts >= k or complete or depth >= _MOST_DEPTH:
            return chosen
        depth *= 4


def _by_words(matches: Iterable[TextMatch]) -> list[Ranked]:
    return [Ranked(match.key, match.score, relevance=match.score) for match in matches]


def _by_vector(near: dict[int, float], sentence: list[int]) -> list[Ranked]:
    # The vector of one sentence is not the nearest to that of the passage that it stands
    # in: of 120 sentences from a manual, 77 led to their page. Who asks for a whole
    # sentence means that passage, so where it is found word for word it goes first.
    places = {key: place for place, key in enumerate(near)}
    first = sorted(sentence, key=lambda key: places.get(key, len(places)))
    ranked = [Ranked(key, 1.0, near.get(key), relevance=1.0) for key in first]
    verbatim = set(sentence)
    return ranked + [Ranked(key, cosine, cosine) for key, cosine in near.items() if key not in verbatim]


def _by_both(near: dict[int, float], matches: list[TextMatch], weight: float) -> list[Ranked]:
    # Two lists alone would let a passage that is second in both win over the one that holds the
    # very words that were asked for. Being found word for word counts as a list of its own.
    fused = reciprocal_rank_fusion(
        [list(near), [match.key for match in matches], [match.key for match in matches if match.in_a_row]],
        weights=(weight, 1.0, 1.0),
    )
    relevance = {match.key: match.score for match in matches}
    return [Ranked(key, score, near.get(key), relevance.get(key)) for key, score in fused]


def _nearest(
    table: PassageLook[_RowT, _Within], question: Question, depth: int, within: _Within | None
) -> dict[int, float]:
    vector = question.vector
    # A vector without a direction (an empty query's) is near to nothing.
    if vector is None or not vector.any():
        return {}
    return table.nearest(vector, limit=depth, exact=question.exact, within=within)


def _ordered(near: dict[int, float], words: WordLook[_Within]) -> dict[int, float]:
    """Return keys and cosines, best first; those of equal cosine by document and place."""
    if len(set(near.values())) == len(near):
        return near
    # Keys depend on the order in which documents came; results must not.
    owners = words.owners(near)
    return dict(sorted(near.items(), key=lambda entry: (-entry[1], owners.get(entry[0], ("", 0)))))

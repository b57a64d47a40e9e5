"""Searches that see one state of the store, while commits go on.

Passages and words of one commit come one after the other. A search reads the version of the
table that the text index reflects, so it sees both before a commit or both after it. If a
commit came in between it begins again, and at last it holds its view of the index.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

from tenire.errors import StoreError
from tenire.protocols import Hit, Passage
from tenire.vectors.key_spans import KeySpans
from tenire.vectors.ranking import best_texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tenire.vectors.lance_table import LanceTable
    from tenire.vectors.passage_rows import StoredPassage
    from tenire.vectors.question import Question
    from tenire.vectors.stored_texts import StoredTexts
    from tenire.vectors.text_index import TextIndex

__all__ = ["Searcher"]

# Commits take longer than searches, so hardly ever a second one comes in between.
_TURNS = 3


class Searcher:
    """Searches one store; threads may share it.

    Args:
        table: The passages.
        words: The text index.
        texts: Restores texts.
        weight: How much a place by vector counts in ``hybrid``, against one by words.
    """

    def __init__(self, table: LanceTable, words: TextIndex, texts: StoredTexts, *, weight: float) -> None:
        self._table = table
        self._words = words
        self._texts = texts
        self._weight = weight
        self._looked_up: tuple[frozenset[str], int, KeySpans] | None = None

    def search(self, question: Question) -> list[Hit]:
        """Return the hits of the best ``k`` different texts, best first; see ``LanceStore.search``.

        Raises:
            StoreError: If the store cannot be read.
        """
        for turn in range(_TURNS + 1):
            with nullcontext() if turn < _TURNS else self.steady():
                ranked, whole = self._look(question)
            if whole:
                break
        return [self._hit(passage, score) for passage, score in ranked]

    @contextmanager
    def steady(self) -> Iterator[None]:
        """Have all searches of this thread in the block see one state of the store; those of others wait meanwhile."""
        with self._words.snapshot():
            _ = self._words.version  # SQLite's view begins with the first look
            yield

    def around(self, hits: Sequence[Hit], distance: int) -> list[list[Passage]]:
        """Return for each hit the passages of its document up to ``distance`` away; see ``LanceStore.around``.

        Raises:
            StoreError: If the store cannot be read.
        """
        spans = self._words.spans({hit.document for hit in hits})
        wanted = []
        for hit in hits:
            first, passages = spans.get(hit.document, (0, 0))
            begin, end = max(0, hit.ordinal - distance), min(passages, hit.ordinal + distance + 1)
            wanted.append(range(first + begin, first + end))
        rows = self._table.view(self._words.version).fetch({key for keys in wanted for key in keys})
        return [[self._passage(rows[key]) for key in keys if key in rows] for keys in wanted]

    def _look(self, question: Question) -> tuple[list[tuple[StoredPassage, float]], bool]:
        """Search once; return what was found, and whether no commit came in between."""
        version = self._words.version
        within = None if question.within is None else self._spans(question.within)
        best = partial(best_texts, words=self._words, question=question, within=within, weight=self._weight)
        try:
            ranked = best(self._table.view(version))
        except StoreError:
            # The files of a version may be tidied away while it is read; a later one has the rows.
            self._table.lose(version)
            ranked = best(self._table.view(version))
        return ranked, self._words.version == version

    def _spans(self, within: frozenset[str]) -> KeySpans:
        # Many searches look at the same documents; looking up where 10,000 stand takes longer than a search.
        version, known = self._words.version, self._looked_up
        if known is None or known[0] is not within or known[1] != version:
            known = self._looked_up = (within, version, KeySpans(self._words.spans(within).values()))
        return known[2]

    def _passage(self, row: StoredPassage) -> Passage:
        return Passage(row.ordinal, row.start, row.stop, self._texts.decompress(row.text_z), row.place)

    def _hit(self, passage: StoredPassage, score: float) -> Hit:
        text = self._texts.decompress(passage.text_z)
        return Hit(passage.document, passage.ordinal, passage.start, passage.stop, text, score, passage.place)

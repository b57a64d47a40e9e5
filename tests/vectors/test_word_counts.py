from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from tenire.vectors.text_index import TextIndex
from tenire.vectors.text_rows import IndexedDocument
from tenire.vectors.word_counts import WordCounts

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def filled(index: TextIndex, version: int, **texts: str) -> None:
    first = index.next_key
    documents = [IndexedDocument(name, first + n, (text,), 7, "b") for n, (name, text) in enumerate(texts.items())]
    index.apply(documents, [], batches=[], version=version)


def test_words_are_counted_once_as_long_as_nothing_changes(tmp_path: Path) -> None:
    with closing(TextIndex(tmp_path / "text.db")) as index:
        filled(index, 1, a="gulls follow trawlers", b="trawlers in the harbour")
        asked: list[str] = []
        with index._reading().reading() as connection:
            connection.set_trace_callback(asked.append)

        def counted(query: str) -> int:
            asked.clear()
            index.search(query, limit=5)
            return sum(statement.startswith("SELECT count(*)") for statement in asked)

        assert counted("gulls harbour") == 2
        assert counted("harbour gulls") == 0
        assert counted("harbour trawlers") == 1
        filled(index, 2, c="gulls at night")
        assert counted("harbour gulls") == 2, "there are others now"


def test_a_word_that_has_become_frequent_is_not_taken_for_rare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenire.vectors.text_query._POSTINGS", 20)
    with closing(TextIndex(tmp_path / "text.db")) as index:
        filled(index, 1, rare="an axolotl", **{f"d{n}": "common" for n in range(30)})
        index.search("common axolotl", limit=3)
        filled(index, 2, other="a badger", **{f"e{n}": "axolotl" for n in range(40)})
        spans = {span.first: name for name, span in index.spans().items()}
        assert [spans[match.key] for match in index.search("badger axolotl", limit=3)] == ["other"]


def test_counts_are_those_of_one_connection(tmp_path: Path) -> None:
    counts = WordCounts()
    with closing(sqlite3.connect(tmp_path / "one.db")) as one, closing(sqlite3.connect(tmp_path / "two.db")) as two:
        held = counts.of(one)
        held["word"] = 3
        assert counts.of(one) is held
        assert counts.of(two) == {}
        held["other"] = 4
        assert counts.of(two) == {}, "whoever goes on with its own adds nothing to these"
        counts.of(two)["word"] = 1
        counts.forget()
        assert counts.of(two) == {}


def test_no_more_than_so_many_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenire.vectors.word_counts._MOST", 3)
    counts = WordCounts()
    with closing(sqlite3.connect(tmp_path / "one.db")) as one:
        counts.of(one).update(a=1, b=2, c=3)
        assert counts.of(one) == {}

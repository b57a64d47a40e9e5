from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.errors import StoreError
from tenire.vectors import text_rows
from tenire.vectors.text_index import Span, TextIndex
from tenire.vectors.text_query import words
from tenire.vectors.text_rows import IndexedDocument

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def index(tmp_path: Path) -> Iterator[TextIndex]:
    index = TextIndex(tmp_path / "text.db")
    yield index
    index.close()


@pytest.fixture
def old_sqlite(monkeypatch: pytest.MonkeyPatch) -> None:
    """A SQLite that cannot delete words of a contentless index (before 3.43)."""
    monkeypatch.setattr(text_rows.sqlite3, "sqlite_version_info", (3, 37, 0))


def _fill(index: TextIndex, **texts: str) -> None:
    documents, key = [], index.next_key
    for name, text in texts.items():
        passages = tuple(text.split("|"))
        documents.append(IndexedDocument(name, key, passages, 7, "b1"))
        key += len(passages)
    index.apply(documents, [], batches=["b1"], version=1)


def _found(index: TextIndex, query: str, limit: int = 10) -> list[str]:
    owners = {}
    for name, span in index.spans().items():
        owners.update({span.first + place: f"{name}{place}" for place in range(span.passages)})
    return [owners[match.key] for match in index.search(query, limit=limit)]


def test_exact_phrases_come_before_all_words_before_some_words(index: TextIndex) -> None:
    _fill(
        index,
        some="the harbour at night|nothing to see",
        all="gulls in a harbour which follow trawlers",
        phrase="a long text about much else, and then: gulls follow trawlers, " + "and so on " * 50,
    )
    assert _found(index, "gulls follow trawlers") == ["phrase0", "all0"]
    assert _found(index, "trawlers harbour")[0] == "all0"
    assert set(_found(index, "trawlers harbour")) == {"all0", "some0", "phrase0"}
    scores = [match.score for match in index.search("gulls follow trawlers harbour", limit=9)]
    assert scores == sorted(scores, reverse=True)


def test_words_are_found_in_other_forms_and_without_their_accents(index: TextIndex) -> None:
    _fill(index, a="Les élèves préparaient", b="connections were closed")
    assert _found(index, "ELEVES") == ["a0"]
    assert _found(index, "e\u0301le\u0300ves") == ["a0"]
    assert _found(index, "connecting") == ["b0"]


@pytest.mark.parametrize(
    ("text", "queries"),
    [
        ("これは日本語の文章です。文字コードはシフトJISです。", ["日本語", "シフト", "シフトjis", "JIS", "語"]),
        ("斑马身上的条纹各不相同，因此很容易辨认。", ["斑马", "条纹", "很容易辨认", "斑马的条纹", "斑马 条纹"]),
        ("서울에서 얼룩말을 보았다", ["서울", "얼룩말", "얼룩말을"]),
        ("ม้าลายทุกตัวมีลายไม่เหมือนกัน", ["ม้าลาย", "ลายไม่เหมือน"]),
        ("𠮷野家 in Ōsaka", ["野家", "osaka"]),
    ],
)
def test_words_are_found_where_no_blanks_tell_them_apart(index: TextIndex, text: str, queries: list[str]) -> None:
    _fill(index, a=text, b="something else, 斑点 and 日光 and 문서")
    for query in queries:
        assert _found(index, query)[:1] == ["a0"], query
    assert _found(index, "馬鹿") == []


def test_a_run_in_a_row_comes_before_its_pairs(index: TextIndex) -> None:
    _fill(index, pairs="条纹斑马与马上", row="斑马上的条纹")
    assert _found(index, "斑马上") == ["row0", "pairs0"]
    assert words("斑马上的abc纹x") == ["斑 马", "马 上", "上 的", "abc", "纹", "x"]


@pytest.mark.parametrize(
    "query", ['"', "AND", "NEAR(", "a AND", "text:x", "*", "^", "-", "\0", "🦊", "...", "", "( ) '", "\ud800"]
)
def test_no_query_is_a_syntax_error(index: TextIndex, query: str) -> None:
    _fill(index, a="near the fox and the text x")
    for attempt in (query, f"fox {query}", f"{query} fox {query}"):
        found = _found(index, attempt)
        assert found == ["a0"] if "fox" in attempt else found in ([], ["a0"])


@given(st.text(max_size=60))
def test_any_text_is_made_of_plain_words(query: str) -> None:
    for word in words(query):
        assert word
        assert not set(word) & set("\"'*^:(){}-+\0_")
        assert " " not in word or len(word) == 3


@given(query=st.text(max_size=40))
def test_any_text_may_be_asked_for(query: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any-text.db"
    index = TextIndex(path)
    try:
        if not index.exists:
            _fill(index, a="some words")
        index.search(query, limit=5)
    finally:
        index.close()


def test_a_whole_page_is_a_query_too(index: TextIndex) -> None:
    page = " ".join(f"word{n}" for n in range(5000))
    _fill(index, page=page, other="word3 alone")
    assert _found(index, page)[0] == "page0"


def test_frequent_words_do_not_hide_rare_ones(index: TextIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenire.vectors.text_query._POSTINGS", 20)
    _fill(index, **{f"d{n}": "the common text" for n in range(40)}, rare="an axolotl")
    assert _found(index, "the common axolotl") == ["rare0"]


def test_documents_that_left_are_not_found(index: TextIndex) -> None:
    _fill(index, a="first fox|second fox", b="third fox")
    index.apply([], ["a", "unknown"], batches=["b2"], version=2)
    assert _found(index, "fox") == ["b0"]
    assert (index.version, index.stale, index.has_batch("b2")) == (2, 2, True)
    assert index.differences({2}) == (set(), set())


@pytest.mark.usefixtures("old_sqlite")
def test_an_old_sqlite_finds_no_ghosts_and_drops_them_when_they_are_many(index: TextIndex) -> None:
    _fill(index, a="first fox|second fox", b="third fox", c="fourth fox")
    index.apply([], ["a", "c"], batches=["b2"], version=2)
    assert _found(index, "fox") == ["b0"]
    assert index.differences({2}) == (set(), set())
    assert index.optimise(idle=False), "three of four passages linger"
    assert (index.version, index.stale, index.spans()) == (0, 0, {})
    index.apply([IndexedDocument("b", 2, ("third fox",), 7, "b1")], [], batches=[], version=2)
    assert _found(index, "fox") == ["b0"]
    assert not index.optimise(idle=True)


@pytest.mark.parametrize("old", [False, True])
def test_a_key_is_never_used_twice(index: TextIndex, request: pytest.FixtureRequest, *, old: bool) -> None:
    if old:
        request.getfixturevalue("old_sqlite")
    _fill(index, a="first fox|second fox")
    index.apply([], ["a"], batches=[], version=2)
    assert index.next_key == 2
    _fill(index, b="a badger")
    assert _found(index, "fox") == []
    assert index.spans() == {"b": Span(2, 1)}


def test_a_document_that_is_repaired_frees_no_keys(index: TextIndex) -> None:
    _fill(index, a="one|two|three")
    index.apply([IndexedDocument("late", 1, ("x",), 1, "b2")], ["a"], batches=[], version=2)
    assert index.next_key == 3


def test_an_index_that_is_just_being_made_is_not_there_yet(index: TextIndex, tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "text.db").close()
    assert not index.exists
    assert (index.search("x", limit=1), index.spans(), index.version) == ([], {}, 0)
    _fill(index, a="x")
    assert index.exists


def test_a_document_that_is_there_is_passed_over(index: TextIndex) -> None:
    _fill(index, a="first fox")
    index.apply([IndexedDocument("a", 5, ("another",), 7, "b9")], [], batches=["b9"], version=3)
    assert index.spans(["a", "z"]) == {"a": Span(0, 1)}
    assert _found(index, "another") == []


def test_a_failed_write_changes_nothing(index: TextIndex) -> None:
    _fill(index, a="first fox")
    with pytest.raises(AttributeError):
        index.apply([IndexedDocument("b", 1, (None,), 7, "b2")], ["a"], batches=["b2"], version=9)
    assert (index.version, index.has_batch("b2"), _found(index, "fox")) == (1, False, ["a0"])


def test_totals_add_up(index: TextIndex) -> None:
    _fill(index, a="naïve|x", b="y")
    totals = index.totals()
    assert (totals.documents, totals.passages, totals.text_bytes, totals.stored_bytes) == (2, 3, 8, 14)


def test_searches_do_not_wait_for_a_transaction(index: TextIndex, tmp_path: Path) -> None:
    _fill(index, a="first fox")
    other = sqlite3.connect(tmp_path / "text.db", isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM documents")
        assert _found(index, "fox") == ["a0"]
        other.execute("ROLLBACK")
    finally:
        other.close()


def test_a_python_without_full_text_search_is_told_so(index: TextIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    real = text_rows.prepare

    class Without:
        def __init__(self, connection: sqlite3.Connection) -> None:
            self._connection = connection

        def execute(self, sql: str) -> sqlite3.Cursor:
            if "fts5" in sql:
                message = "no such module: fts5"
                raise sqlite3.OperationalError(message)
            return self._connection.execute(sql)

    monkeypatch.setattr("tenire.vectors.text_index.prepare", lambda connection, path: real(Without(connection), path))
    with pytest.raises(StoreError, match="no full-text search") as caught:
        _fill(index, a="x")
    assert "FTS5" in (caught.value.hint or "")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_bytes(b"this is no database " * 100)
    index = TextIndex(tmp_path / "text.db")
    with pytest.raises(StoreError, match=r"text\.db"):
        index.search("x", limit=1)
    with pytest.raises(StoreError, match=r"text\.db"):
        index.apply([], [], batches=[], version=1)
    index.close()

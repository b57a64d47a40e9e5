"""Rows that come from a database, and paths that come from a list."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

import tenire
from tenire.app.inspect import failed
from tenire.errors import MissingExtraError

from .conftest import LEDGERS, ZEBRAS, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tenire.pipeline.progress import PipelineProgress

QUERY = "SELECT id, text, weight FROM notes WHERE id > 0 ORDER BY id"


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    path = tmp_path / "notes.db"
    change(path, "CREATE TABLE notes (id INTEGER, text, weight REAL)")
    change(path, "INSERT INTO notes VALUES (1, 'one', 1.5), (2, 'two', NULL), (3, 'three', 3), (-1, 'hidden', 0)")
    return path


def change(path: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


def upper(items: list[Any]) -> list[Any]:
    return [{**item, "text": item["text"].upper()} for item in items]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., PipelineProgress]:
    """Runs one pipeline named ``p`` into ``out.jsonl``, and returns what it counted."""

    def start(source: Any) -> PipelineProgress:
        described = tenire.Pipeline("p", source, stages=[upper], sink=tmp_path / "out.jsonl")
        return tenire.run(described, home=tmp_path / "home", cpu=2).pipelines["p"]

    return start


def told(path: Path) -> list[Any]:
    return [json.loads(line) for line in (path / "out.jsonl").read_text("utf-8").splitlines()]


def test_a_query_of_sqlite_gives_rows(run: Any, notes: Path, tmp_path: Path) -> None:
    source = {"database": notes, "query": QUERY}
    assert run(source).done == 3
    assert told(tmp_path) == [
        {"id": 1, "text": "ONE", "weight": 1.5},
        {"id": 2, "text": "TWO", "weight": None},
        {"id": 3, "text": "THREE", "weight": 3.0},
    ]
    assert run(source).unchanged == 3
    change(notes, "UPDATE notes SET text = 'zwei' WHERE id = 2")
    change(notes, "DELETE FROM notes WHERE id = 3")
    progress = run(source)
    assert (progress.done, progress.unchanged, progress.removed) == (1, 1, 1)
    assert [item["text"] for item in told(tmp_path)] == ["ONE", "ZWEI"]


def test_what_json_cannot_hold_becomes_text_or_goes_to_quarantine(run: Any, notes: Path, tmp_path: Path) -> None:
    change(notes, "INSERT INTO notes VALUES (4, ?, 1), (5, ?, 1)", "räter".encode(), b"\xff")
    progress = run({"database": str(notes), "query": QUERY})
    assert (progress.done, progress.quarantined) == (4, 1)
    assert told(tmp_path)[3]["text"] == "RÄTER"
    (entry,) = failed(tmp_path / "home")
    assert (entry.source, entry.error) == (
        f"{notes}#row 5", "row 5: expected text, got bytes that are not UTF-8",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT * FROM nowhere", "OperationalError: no such table: nowhere"),
        ("SELECT id, text AS id FROM notes", "the query returns 'id' twice"),
        ("DELETE FROM notes", "attempt to write a readonly database"),
        ("PRAGMA foreign_keys = ON", "must return rows, as SELECT does"),
        ("SELECT 1; SELECT 2", "one statement at a time"),
        ("", "QUERY|query"),
    ],
)
def test_a_query_that_cannot_be_meant_is_refused(
    run: Any, notes: Path, tmp_path: Path, query: str, message: str
) -> None:
    with pytest.raises(tenire.ConfigError, match=message):
        run({"database": notes, "query": query})
    assert not (tmp_path / "home").exists()
    with closing(sqlite3.connect(notes)) as connection:
        assert connection.execute("SELECT count(*) FROM notes").fetchone() == (4,)


@pytest.mark.parametrize(
    "source", [{"database": "no-such.db", "query": "SELECT 1"}, {"database": "x.db"}, {"databse": "x", "query": ""}]
)
def test_a_database_that_is_not_there_is_refused(run: Any, source: dict[str, str]) -> None:
    with pytest.raises(tenire.ConfigError, match=r"no file|must be a path, or a list"):
        run(source)


def test_the_database_can_be_written_while_a_run_goes_on(notes: Path, tmp_path: Path) -> None:
    def write_back(items: list[Any]) -> list[Any]:
        change(notes, "INSERT INTO notes VALUES (99, 'late', 0)")
        return items

    described = tenire.Pipeline(
        "p", {"database": notes, "query": QUERY}, stages=[write_back], sink=tmp_path / "out.jsonl"
    )
    progress = tenire.run(described, home=tmp_path / "home", cpu=1).pipelines["p"]
    assert (progress.done, progress.quarantined) == (3, 0)


def test_one_pipeline_reads_the_database_that_another_one_writes(tmp_path: Path, run_toml: Any) -> None:
    write(tmp_path / "stages_of_databases.py", "def same(items):\n    return items\n")
    write(tmp_path / "rows.csv", "id,text\na,one\nb,two\n")
    text = """
        [pipelines.first]
        recipe = "stages"
        source = { list = "lists/rows.txt" }
        stages = ["stages_of_databases:same"]
        sink = "first.db"
        [pipelines.second]
        recipe = "stages"
        source = { database = "first.db", query = "SELECT id, text FROM items ORDER BY id DESC" }
        stages = ["stages_of_databases:same"]
        sink = "out.jsonl"
        after = ["first"]
    """
    write(tmp_path / "lists/rows.txt", "../rows.csv\n\n")
    assert run_toml(text).pipelines["second"].done == 2
    assert told(tmp_path) == [{"id": "b", "text": "two"}, {"id": "a", "text": "one"}]


def test_documents_of_a_list_are_read(tmp_path: Path) -> None:
    files = [write(tmp_path / "a b.txt", ZEBRAS), write(tmp_path / "in/c.txt", LEDGERS)]
    write(tmp_path / "files.txt", "".join(f"{os.path.relpath(file, tmp_path)}\n" for file in files))
    described = tenire.Pipeline("p", {"list": tmp_path / "files.txt"}, embedder="static")
    assert tenire.run(described, home=tmp_path / "home").pipelines["p"].done == 2
    write(tmp_path / "files.txt", "in/c.txt\n")
    progress = tenire.run(described, home=tmp_path / "home").pipelines["p"]
    assert (progress.unchanged, progress.removed) == (1, 1)


@pytest.mark.parametrize(("content", "message"), [(None, "cannot be read"), ("\n \n", "a list without a path")])
def test_a_list_that_says_nothing_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        write(tmp_path / "files.txt", content)
    with pytest.raises(tenire.ConfigError, match=message):
        tenire.run(tenire.Pipeline("p", {"list": tmp_path / "files.txt"}), home=tmp_path / "home")


def test_without_the_package_postgresql_is_refused_by_its_extra(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match="postgres"):
        run({"database": "postgresql://ada:secret@127.0.0.1:9/db", "query": "SELECT 1"})


def test_a_server_that_is_not_there_is_told_without_its_password(run: Any) -> None:
    pytest.importorskip("psycopg", reason="needs the extra postgres")
    with pytest.raises(tenire.ConfigError, match=r"the query of postgresql://127\.0\.0\.1/db failed") as caught:
        run({"database": "postgresql://ada:secret@127.0.0.1:9/db", "query": "SELECT 1"})
    assert "secret" not in str(caught.value)


def test_a_query_of_postgresql_gives_rows(run: Any, tmp_path: Path) -> None:
    psycopg = pytest.importorskip("psycopg", reason="needs the extra postgres")
    dsn = os.environ.get("TENIRE_TEST_POSTGRES")
    if dsn is None:
        pytest.skip("TENIRE_TEST_POSTGRES names no server to test with")
    with psycopg.connect(dsn) as connection:
        connection.execute("DROP TABLE IF EXISTS tenire_notes")
        connection.execute(
            "CREATE TABLE tenire_notes (id int, text text, at date, price numeric, tags text[], more jsonb)"
        )
        row = "(%s, 'text', DATE '2024-05-01', 1.50, ARRAY['a'], '{\"a\": [1]}')"
        for number in range(1200):
            connection.execute(f"INSERT INTO tenire_notes VALUES {row}", (number,))
    source = {"database": dsn, "query": "SELECT * FROM tenire_notes ORDER BY id"}
    assert run(source).done == 1200
    assert told(tmp_path)[0] == {
        "id": 0, "text": "TEXT", "at": "2024-05-01", "price": "1.50", "tags": ["a"], "more": {"a": [1]},
    }  # fmt: skip
    assert run(source).unchanged == 1200
    with pytest.raises(tenire.ConfigError, match=r"read-only|syntax"):
        run({"database": dsn, "query": "DELETE FROM tenire_notes RETURNING id"})

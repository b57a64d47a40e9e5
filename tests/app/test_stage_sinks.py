"""The files that stages put their items in: JSON lines, Parquet, SQLite."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pyarrow.parquet
import pytest

import tenire
from tenire.app.inspect import repair, verify
from tenire.pipeline.rows import sqlite_output
from tenire.pipeline.rows.kept import KeptOutput

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tenire.pipeline.progress import PipelineProgress

    Run = Callable[..., PipelineProgress]

ENDINGS = ("jsonl", "parquet", "db")
EVERYTHING = [
    {"id": 1, "text": "one", "truth": True, "number": 1, "share": 1, "tags": ["a"], "vector": [1, 0.5], "large": 2**60},
    {"id": 2, "text": None, "truth": False, "number": -5, "share": 0.5, "tags": [], "vector": [0, 0], "large": 0.5},
    {"id": 3, "object": {"a": [1, None]}, "mixed": 1, "half": "\ud83d", "huge": 2**63},
    {"id": 4, "object": {}, "mixed": "1", "Ünï codé": "ß", 'quo"te': "x", "nested": [[1], [2]]},
]


@pytest.fixture(params=ENDINGS)
def sink(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / f"out.{request.param}"


@pytest.fixture
def run(tmp_path: Path, sink: Path) -> Run:
    """Runs one pipeline named ``p`` into ``sink``, and returns what it counted."""

    def start(items: Any, stage: Any = None) -> PipelineProgress:
        described = tenire.Pipeline("p", items, stages=[stage or same], sink=sink)
        return tenire.run(described, home=tmp_path / "home", cpu=2).pipelines["p"]

    return start


def same(items: list[Any]) -> list[Any]:
    return items


def told(path: Path) -> list[dict[str, Any]]:
    """Return the records of a file, as others would read it, without what is nothing."""
    if path.suffix == ".jsonl":
        records = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    elif path.suffix == ".parquet":
        records = pyarrow.parquet.read_table(path).to_pylist()
    else:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.row_factory = sqlite3.Row
            records = [dict(row) for row in connection.execute("SELECT * FROM items ORDER BY id")]
    return [{name: value for name, value in record.items() if value is not None} for record in records]


def texts(number: int, text: str = "text") -> list[dict[str, Any]]:
    return [{"id": each, "text": f"{text} {each}"} for each in range(number)]


def test_each_item_that_is_done_stands_there_once(run: Run, sink: Path, tmp_path: Path) -> None:
    assert run(texts(2500)).done == 2500
    assert told(sink) == texts(2500)
    assert verify(tmp_path / "home").ok
    before = (sink.stat().st_ino, sink.stat().st_mtime_ns)
    assert run(texts(2500)).unchanged == 2500
    assert (sink.stat().st_ino, sink.stat().st_mtime_ns) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", sink.name]


def test_what_changes_and_what_leaves_is_shown(run: Run, sink: Path, tmp_path: Path) -> None:
    run(texts(5))
    progress = run([*texts(2), {"id": 2, "text": "other", "more": 1}, {"id": 9, "text": "new"}])
    assert (progress.done, progress.unchanged, progress.removed) == (2, 2, 2)
    assert told(sink) == [*texts(2), {"id": 2, "text": "other", "more": 1}, {"id": 9, "text": "new"}]
    assert run([]).removed == 4
    assert told(sink) == []
    assert verify(tmp_path / "home").ok


def test_what_fails_now_leaves(run: Run, sink: Path) -> None:
    def picky(items: list[Any]) -> list[Any]:
        return [{**item, "share": 1 / item["id"]} for item in items]

    run(texts(3))
    assert run(texts(3), picky).quarantined == 1
    assert [item["id"] for item in told(sink)] == [1, 2]


def test_values_of_every_kind_are_kept(run: Run, sink: Path, tmp_path: Path) -> None:
    assert run(EVERYTHING).done == 4
    found = {item["id"]: item for item in told(sink)}
    if sink.suffix == ".parquet":
        assert found[1] == EVERYTHING[0] | {"large": str(2**60)}
        assert found[2]["vector"] == [0.0, 0.0]
        assert (found[3]["object"], found[3]["mixed"], found[4]["mixed"]) == ('{"a":[1,null]}', "1", '"1"')
        assert (found[3]["half"], found[3]["huge"]) == ("\\ud83d", str(2**63))
    elif sink.suffix == ".db":
        assert found[1] == EVERYTHING[0] | {"truth": 1, "tags": '["a"]', "vector": "[1,0.5]"}
        assert (found[3]["object"], found[3]["mixed"], found[4]["mixed"]) == ('{"a":[1,null]}', 1, "1")
    else:
        assert found[1] == EVERYTHING[0]
        assert found[3]["half"] == "\ud83d"
    assert found[4]["Ünï codé"] == "ß"
    check = verify(tmp_path / "home")
    assert check.ok, check.details


def test_an_item_that_becomes_several_or_none_stands_there_as_such(run: Run, sink: Path, tmp_path: Path) -> None:
    def parts(items: list[Any]) -> list[Any]:
        return [[{"part": part} for part in range(item["id"])] or None for item in items]

    run(texts(3), parts)
    assert sorted(item["id"] for item in told(sink)) == ["1#0", "2#0", "2#1"]
    assert verify(tmp_path / "home").ok


@pytest.mark.parametrize("text", ["text", "other"], ids=["new", "changed"])
def test_a_run_that_is_killed_between_ledger_and_file_is_made_up_for(
    run: Run, sink: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    run(texts(5))
    with monkeypatch.context() as patch:
        patch.setattr(KeptOutput, "add", _killed)
        patch.setattr(KeptOutput, "end", lambda *_, **__: None)
        assert run(texts(7, text)).state == "failed"
    assert told(sink) == texts(5)
    assert verify(tmp_path / "home").ok  # settles it
    assert told(sink) == texts(7, text)
    assert run(texts(7, text)).unchanged == 7
    assert told(sink) == texts(7, text)


def _killed(*_: Any) -> None:
    raise OSError


def test_a_file_that_was_changed_is_found_and_mended(run: Run, sink: Path, tmp_path: Path) -> None:
    run(texts(4))
    content = sink.read_bytes()
    if sink.suffix == ".db":
        with contextlib.closing(sqlite3.connect(sink)) as connection, connection:
            connection.execute("UPDATE items SET text = 'forged' WHERE id = 1")
            connection.execute("DELETE FROM items WHERE id = 2")
            connection.execute("INSERT INTO items VALUES (77, 'foreign')")
    else:
        changed = [texts(1)[0], {"id": 1, "text": "forged"}, {"id": 3, "text": "text 3"}, {"id": 77, "text": "foreign"}]
        if sink.suffix == ".parquet":
            schema = pyarrow.parquet.read_schema(sink)
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(changed, schema=schema), sink)
        else:
            sink.write_text("".join(json.dumps(record) + "\n" for record in changed))
    found = verify(tmp_path / "home")
    assert (found.ok, found.missing, found.orphans, found.damaged) == (False, 1, 1, 1)
    assert "is not what the ledger says: 1 missing, 1 not of it, 0 twice, 1 changed" in found.details[0]
    assert repair(tmp_path / "home").report.ok
    assert told(sink) == texts(4)
    sink.write_bytes(content[:40])
    found = verify(tmp_path / "home")
    assert (found.ok, found.missing) == (False, 4)
    assert "cannot be read" in found.details[0]
    sink.unlink()
    assert not verify(tmp_path / "home").ok
    assert run(texts(4)).unchanged == 4
    assert told(sink) == texts(4)
    assert verify(tmp_path / "home").ok


def test_a_record_that_stands_there_twice_is_found(run: Run, sink: Path, tmp_path: Path) -> None:
    run(texts(2))
    if sink.suffix != ".jsonl":
        return  # ids are a key there, or the file is not added to
    sink.write_bytes(sink.read_bytes() * 2)
    found = verify(tmp_path / "home")
    assert (found.ok, found.duplicates) == (False, 2)


def test_a_file_of_somebody_else_is_not_written_over(run: Run, sink: Path, tmp_path: Path) -> None:
    sink.write_bytes(b"precious")
    with pytest.raises(tenire.ConfigError, match="holds something that no run wrote"):
        run(texts(1))
    assert sink.read_bytes() == b"precious"
    assert not (tmp_path / "home").exists()


def test_a_database_that_is_locked_gets_its_rows_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_output, "_PATIENCE_S", 0.0)
    sink = tmp_path / "out.db"
    output = sqlite_output.SqliteOutput(sink, pipeline="p")
    output.replace([])
    with contextlib.closing(sqlite3.connect(sink, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert not output.append([b'{"id":1}\n'])
    assert output.append([b'{"id":2}\n'])
    assert told(sink) == [{"id": 2}]


def test_a_journal_that_a_kill_has_left_is_not_played_into_the_next_file(tmp_path: Path) -> None:
    sink = tmp_path / "out.db"
    output = sqlite_output.SqliteOutput(sink, pipeline="p")
    output.replace([b'{"id":1,"text":"a"}\n'])
    with contextlib.closing(sqlite3.connect(sink, isolation_level=None)) as writer:
        writer.execute("PRAGMA cache_size = 1")
        writer.execute("BEGIN IMMEDIATE")
        writer.executemany("INSERT INTO items VALUES (?, ?)", [(each, "x" * 2000) for each in range(2, 200)])
        journal = sink.with_name("out.db-journal").read_bytes()
        torn = sink.read_bytes()
        writer.execute("ROLLBACK")
    assert len(torn) > 8192
    sink.write_bytes(torn)
    sink.with_name("out.db-journal").write_bytes(journal)
    output.replace([b'{"id":5,"text":"b"}\n'])
    assert told(sink) == [{"id": 5, "text": "b"}]
    assert [path.name for path in tmp_path.iterdir()] == ["out.db"]

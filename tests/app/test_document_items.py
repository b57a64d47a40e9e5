"""Rows and items that go into the store without files."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

import tenire
from tenire.app.config import load_config
from tenire.app.inspect import failed, retry, verify
from tenire.app.runs import run_config

from .conftest import VOLCANOES, ZEBRAS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from tenire.pipeline.progress import PipelineProgress

    Run = Callable[..., dict[str, int]]

NOTES = [{"id": 1, "text": ZEBRAS, "title": "Stripes", "author": "Ada"}, {"id": "two", "text": VOLCANOES}]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs one documents pipeline named ``notes``, and returns what it counted, zeros left out."""

    def start(source: Any, **options: Any) -> dict[str, int]:
        described = tenire.Pipeline("notes", source, embedder="static", **options)
        return counts(tenire.run(described, home=tmp_path / "home", cpu=2).pipelines["notes"])

    return start


def counts(progress: PipelineProgress) -> dict[str, int]:
    assert progress.state == "done", progress.error
    names = ("seen", "done", "unchanged", "quarantined", "removed")
    found = {name: getattr(progress, name) for name in names}
    assert found["seen"] == found["done"] + found["unchanged"] + found["quarantined"]
    return {name: number for name, number in found.items() if number}


def found(tmp_path: Path, query: str, **options: Any) -> Any:
    with tenire.Store(tmp_path / "home") as store:
        return store.search(query, **options).hits


def test_items_become_documents_that_can_be_found(run: Run, tmp_path: Path) -> None:
    assert run(NOTES) == {"seen": 2, "done": 2}
    hit = found(tmp_path, "zebras")[0]
    assert (hit.source, hit.text, hit.title, hit.author, hit.kind) == (
        "notes#1",
        ZEBRAS.strip(),
        "Stripes",
        "Ada",
        "text",
    )
    assert [hit.source for hit in found(tmp_path, "zebras", where='author = "Ada"')] == ["notes#1"]
    report = verify(tmp_path / "home")
    assert (report.ok, report.documents, report.chunks) == (True, 2, 2)


def test_only_what_changed_is_done_again_and_what_left_leaves(run: Run, tmp_path: Path) -> None:
    run(NOTES)
    assert run(NOTES) == {"seen": 2, "unchanged": 2}
    changed = [{**NOTES[0], "author": "Grace"}, {"id": 3, "text": "A third note"}]
    assert run(changed) == {"seen": 2, "done": 2, "removed": 1}
    assert {hit.source: hit.author for hit in found(tmp_path, "zebras note")} == {"notes#1": "Grace", "notes#3": ""}
    assert verify(tmp_path / "home").ok


def test_fields_beside_the_known_ones_are_kept_and_can_be_asked_for(run: Run, tmp_path: Path) -> None:
    run([{"text": ZEBRAS, "shelf": 7, "tags": ["a", "b"], "nothing": None}])
    (hit,) = found(tmp_path, "zebras", where="extra.shelf = 7")
    assert hit.extra == {"shelf": "7", "tags": '["a","b"]'}


def test_a_format_says_how_a_text_is_marked_up(run: Run, tmp_path: Path) -> None:
    page = "<html><head><title>Fire</title></head><body><h1>Lava</h1><p>It flows.</p></body></html>"
    run([{"id": 1, "text": page, "format": "html"}, {"id": 2, "text": "# Ash\n\nIt falls.", "format": "markdown"}])
    hits = {hit.source: hit for hit in found(tmp_path, "flows falls")}
    assert (hits["notes#1"].title, hits["notes#1"].headings) == ("Fire", ["Lava"])
    assert "<p>" not in hits["notes#1"].text
    assert (hits["notes#2"].title, hits["notes#2"].kind) == ("Ash", "markdown")


def test_what_is_no_document_goes_to_quarantine_with_its_reason(run: Run, tmp_path: Path) -> None:
    bad: list[Any] = [
        {"id": 11, "body": "here"},
        {"id": 12, "text": 5},
        {"id": 13, "text": "x", "format": "pdf"},
        7,
        {"id": "two", "text": "again"},
    ]
    assert run([*NOTES, *bad]) == {"seen": 7, "done": 2, "quarantined": 5}
    told = {item.source: item.error for item in failed(tmp_path / "home")}
    assert "got none among: body" in told["notes#11"]
    assert "got a int" in told["notes#12"]
    assert "expected one of text, markdown" in told["notes#13"]
    assert "expected a dict or a text, got int" in told["notes#item 6"]
    assert "expected an id that no other row has" in told["notes#two (item 7)"]
    assert run([*NOTES, *bad]) == {"seen": 7, "unchanged": 2, "quarantined": 5}


def test_texts_without_ids_are_known_by_their_content(run: Run, tmp_path: Path) -> None:
    assert run(iter([ZEBRAS, ZEBRAS, VOLCANOES])) == {"seen": 3, "done": 3}
    (hit,) = found(tmp_path, "zebras", k=1)
    assert len(hit.also) == 1
    assert run(iter([VOLCANOES, ZEBRAS])) == {"seen": 2, "unchanged": 2, "removed": 1}


def test_items_come_from_functions_and_asynchronous_generators(run: Run, tmp_path: Path) -> None:
    def numbered() -> Iterator[dict[str, Any]]:
        for number in range(200):
            yield {"id": number, "text": f"note number {number}"}

    async def fetched() -> AsyncIterator[dict[str, Any]]:
        for item in numbered():
            yield item

    assert run(numbered) == {"seen": 200, "done": 200}
    assert run(fetched) == {"seen": 200, "unchanged": 200}


def test_a_source_that_breaks_off_removes_nothing(run: Run, tmp_path: Path) -> None:
    run(NOTES)

    def broken() -> Iterator[dict[str, Any]]:
        yield NOTES[0]
        message = "the cable was pulled"
        raise OSError(message)

    report = tenire.run(tenire.Pipeline("notes", broken, embedder="static"), home=tmp_path / "home", cpu=2)
    assert "the cable was pulled" in str(report.pipelines["notes"].error)
    assert len(found(tmp_path, "zebras volcanoes")) == 2


def test_a_configuration_takes_a_query_or_rows_of_files_and_retry_runs_it_again(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "notes.db")) as connection, connection:
        connection.execute("CREATE TABLE notes (id INTEGER, body, author)")
        connection.execute("INSERT INTO notes VALUES (1, ?, 'Ada'), (2, NULL, 'Grace')", (ZEBRAS,))
    (tmp_path / "reviews.jsonl").write_text(json.dumps({"id": 9, "text": VOLCANOES}) + "\n", "utf-8")
    file = tmp_path / "tenire.toml"
    file.write_text(
        '[tenire]\nhome = "home"\n[pipelines.notes]\nembedder = "static"\n'
        'source = { database = "notes.db", query = "SELECT id, body AS text, author FROM notes" }\n'
        '[pipelines.reviews]\nembedder = "static"\nsource = { rows = "*.jsonl" }\n',
        "utf-8",
    )
    report = run_config(load_config(file))
    assert counts(report.pipelines["notes"]) == {"seen": 2, "done": 1, "quarantined": 1}
    assert counts(report.pipelines["reviews"]) == {"seen": 1, "done": 1}
    database = tmp_path / "notes.db"
    assert [hit.source for hit in found(tmp_path, "zebras", where='author = "Ada"')] == [f"{database}#1"]
    (entry,) = failed(tmp_path / "home")
    assert entry.source == f"{database}#2"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE notes SET body = 'now there is a text' WHERE id = 2")
    result = retry(tmp_path / "home", [entry.id], all_=False)
    assert result.report is not None
    assert counts(result.report.pipelines["notes"]) == {"seen": 2, "done": 1, "unchanged": 1}
    assert not failed(tmp_path / "home")


def test_rows_without_a_text_are_refused_before_anything_starts(run: Run, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "notes.db")) as connection, connection:
        connection.execute("CREATE TABLE notes (id INTEGER, body)")
    with pytest.raises(tenire.ConfigError, match=r"text.*id, body"):
        run({"database": tmp_path / "notes.db", "query": "SELECT id, body FROM notes"})
    assert not (tmp_path / "home").exists()
    with pytest.raises(tenire.ConfigError, match="items one can go through"):
        run(5)
    with pytest.raises(tenire.ConfigError, match="boilerplate goes with files"):
        run(NOTES, boilerplate=True)

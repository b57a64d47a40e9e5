from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lancedb
import pyarrow as pa
import pytest

from tenire.app.config import ingest_config
from tenire.app.inspect import Verified, failed, repair, retry, status, verify
from tenire.app.runs import run_config
from tenire.app.search import search
from tenire.errors import ConfigError, DamagedFileError, HomeBusyError, StoreError, UnreadableStoreError
from tenire.pipeline.home_session import HomeSession
from tenire.pipeline.progress import PipelineProgress
from tenire.storage.home import Home, HomeLock
from tenire.storage.ledger import Ledger
from tenire.storage.records import Change, Intent

from .conftest import LEDGERS, ZEBRAS, write

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.pipeline.progress import RunReport

    Run = Callable[..., RunReport]

BINARY = "\0\1\2\3" * 50


def test_a_home_tells_what_it_holds(tmp_path: Path, ingest: Run) -> None:
    write(tmp_path / "files/a.txt", ZEBRAS)
    write(tmp_path / "files/copy.txt", ZEBRAS)
    write(tmp_path / "files/bad.txt", BINARY)
    report = ingest(tmp_path / "files")
    facts = status(tmp_path / "home")
    assert (facts["running"], facts["pid"]) == (False, None)
    assert (facts["documents"], facts["chunks"], facts["quarantined"]) == (2, 1, 1)
    assert facts["text_bytes"] == len(ZEBRAS)
    assert facts["store_bytes"] > 0
    assert facts["text_stored_bytes"] > 0
    assert facts["pipelines"]["ingest"] == {**report.pipelines["ingest"].totals(), "tasks": []}
    (entry,) = failed(tmp_path / "home")
    assert (entry.pipeline, entry.source, entry.attempts) == ("ingest", str(tmp_path / "files/bad.txt"), 1)
    assert entry.id
    assert entry.stage
    assert entry.error


def test_status_has_all_totals_while_a_run_goes_on_and_after_it_was_killed(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with HomeLock(home), Ledger.open(home) as ledger:
        ledger.runs.start("p")
        facts = status(tmp_path)
        assert facts["running"] is True
        assert facts["pid"] is not None
        assert facts["pipelines"]["p"] == {**PipelineProgress("p").totals(), "state": "running", "tasks": []}
    facts = status(tmp_path)
    assert facts["running"] is False
    assert facts["pipelines"]["p"]["state"] == "interrupted"


@pytest.mark.parametrize("ask", [status, failed, verify], ids=["status", "failed", "verify"])
def test_a_home_that_does_not_exist_is_told_and_not_made(tmp_path: Path, ask: Callable[[Path], object]) -> None:
    with pytest.raises(StoreError, match="no home") as caught:
        ask(tmp_path / "home")
    assert "tenire ingest" in (caught.value.hint or "")
    assert not (tmp_path / "home").exists()


def test_a_home_without_documents_is_whole(tmp_path: Path, ingest: Run) -> None:
    write(tmp_path / "files/picture.png", "no text")
    ingest(tmp_path / "files")
    report = verify(tmp_path / "home")
    assert (report.ok, report.documents, report.chunks) == (True, 0, 0)


def test_a_home_whose_first_run_was_killed_early_is_whole(tmp_path: Path) -> None:
    with Ledger.open(Home(tmp_path)) as ledger:
        ledger.runs.start("ingest")
    assert verify(tmp_path).ok
    with Ledger.read(Home(tmp_path)) as ledger:
        assert ledger.runs.last()["ingest"].state == "interrupted"


def test_a_store_that_is_gone_or_not_whole_is_told(tmp_path: Path, ingest: Run) -> None:
    write(tmp_path / "files/a.txt", ZEBRAS)
    ingest(tmp_path / "files")
    (data,) = (tmp_path / "home/store").rglob("data/*.lance")
    whole = data.read_bytes()
    data.write_bytes(whole[:100])
    with pytest.raises(StoreError, match="cannot read the store"):
        verify(tmp_path / "home")
    data.write_bytes(whole)
    assert verify(tmp_path / "home").ok
    shutil.rmtree(tmp_path / "home/store")
    for ask in (verify, status):
        with pytest.raises(StoreError, match="is gone"):
            ask(tmp_path / "home")


def test_a_home_that_may_not_be_written_is_compared_all_the_same(
    tmp_path: Path, ingest: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "files/a.txt", ZEBRAS)
    ingest(tmp_path / "files")
    home = Home(tmp_path / "home")
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != home.path or mode != os.W_OK)
    monkeypatch.setattr(HomeSession, "__enter__", None)
    report = verify(home.path)
    assert (report.ok, report.documents, report.chunks, report.pending) == (True, 1, 1, 0)
    with Ledger.open(home) as ledger:
        ledger.batches.open(Intent("batch", Change("ingest", drop=("gone",))))
    assert (verify(home.path).ok, verify(home.path).pending) == (True, 1)
    data = bytearray(home.ledger_path.read_bytes())
    data[5000:-1000:50] = bytes(len(data[5000:-1000:50]))
    home.ledger_path.write_bytes(data)
    with pytest.raises(StoreError, match="damaged"):
        verify(home.path)


def test_a_home_that_may_not_be_written_and_holds_nothing_is_whole(
    tmp_path: Path, ingest: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "files/picture.png", "no text")
    ingest(tmp_path / "files")
    monkeypatch.setattr(os, "access", lambda *_: False)
    report = verify(tmp_path / "home")
    assert (report.ok, report.documents, report.chunks) == (True, 0, 0)


def test_retrying_tries_what_was_chosen_and_nothing_else(tmp_path: Path, ingest: Run) -> None:
    files, home = tmp_path / "files", tmp_path / "home"
    write(files / "good.txt", ZEBRAS)
    bad = [write(files / f"bad{number}.txt", BINARY + str(number)) for number in range(3)]
    ingest(files)
    ids = {entry.source: entry.id for entry in failed(home)}
    bad[0].write_text(LEDGERS)
    bad[1].unlink()
    result = retry(home, [ids[str(bad[0])], ids[str(bad[1])], ids[str(bad[0])]], all_=False)
    assert result.requeued == 2
    assert result.report is not None
    progress = result.report.pipelines["ingest"]
    assert (progress.seen, progress.done, progress.removed) == (1, 1, 1)
    (left,) = failed(home)
    assert (left.source, left.attempts) == (str(bad[2]), 1)

    result = retry(home, [], all_=True)
    assert result.report is not None
    assert result.report.pipelines["ingest"].quarantined == 1
    (left,) = failed(home)
    assert left.attempts == 2
    report = verify(home)
    assert (report.ok, report.documents) == (True, 2)


def test_a_retry_of_nothing_runs_nothing(tmp_path: Path) -> None:
    with Ledger.open(Home(tmp_path)):
        pass
    assert retry(tmp_path, [], all_=True).report is None
    with pytest.raises(ConfigError, match="no entry 'q7'"):
        retry(tmp_path, ["q7"], all_=False)


def test_a_check_waits_for_no_engine(tmp_path: Path) -> None:
    with Ledger.open(Home(tmp_path)):
        pass
    with HomeLock(Home(tmp_path)), pytest.raises(HomeBusyError):
        verify(tmp_path)


def test_a_store_that_was_lost_is_mended_by_a_repair_and_the_next_run(tmp_path: Path) -> None:
    folder, home = tmp_path / "docs", tmp_path / "home"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.md").write_text(f"# Page {number}\n\nThe harbour has {number + 4} cranes.\n")

    def ingest() -> int:
        config = ingest_config([str(folder)], home=home, embedder="static")
        return run_config(config).pipelines["ingest"].done

    assert ingest() == 3
    shutil.rmtree(home / "store")
    with pytest.raises(StoreError, match="gone") as caught:
        ingest()
    assert "verify --repair" in str(caught.value.hint)
    verified = repair(home)
    assert verified.report.ok
    assert verified.forgotten == 3
    assert ingest() == 3
    report = verify(home)
    assert (report.ok, report.documents, report.chunks) == (True, 3, 3)
    assert repair(home).forgotten == 0


@pytest.mark.parametrize("damage", ["cut off", "gone", "overwritten"])
def test_a_store_that_cannot_be_read_is_mended_by_a_repair_and_the_next_run(tmp_path: Path, damage: str) -> None:
    folder, home = tmp_path / "docs", tmp_path / "home"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.md").write_text(f"# Page {number}\n\nThe harbour has {number + 4} cranes.\n")
    config = ingest_config([str(folder)], home=home, embedder="static")
    run_config(config)
    (data,) = (home / "store" / "passages.lance" / "data").iterdir()
    if damage == "cut off":
        os.truncate(data, 100)
    elif damage == "gone":
        data.unlink()
    else:
        data.write_bytes(bytes(data.stat().st_size))
    with pytest.raises(UnreadableStoreError) as caught:
        verify(home)
    assert "verify --repair" in str(caught.value.hint)

    verified = repair(home)
    assert (verified.report.ok, verified.forgotten) == (True, 3)
    assert verified.aside == home / "store.damaged1"
    assert (verified.aside / "format.json").exists()
    assert run_config(config).pipelines["ingest"].done == 3
    assert (verify(home).ok, repair(home)) == (True, Verified(verify(home)))


def _cranes(tmp_path: Path) -> Any:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number}.md").write_text(f"# Page {number}\n\nThe harbour has {number + 4} cranes.\n")
    config = ingest_config([str(folder)], home=tmp_path / "home", embedder="static")
    run_config(config)
    return config


@pytest.mark.parametrize("damage", ["its head", "its words", "cut off"])
def test_a_text_index_that_is_damaged_is_made_anew_by_a_repair(tmp_path: Path, damage: str) -> None:
    config = _cranes(tmp_path)
    home, index = tmp_path / "home", tmp_path / "home/store/text.db"
    with contextlib.closing(sqlite3.connect(index)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'words_data'").fetchone()
    data = bytearray(index.read_bytes())
    if damage == "cut off":
        del data[len(data) // 2 :]
    elif damage == "its head":
        data[:100] = bytes(100)
    else:
        # The words themselves, which nothing but a search looks at.
        at = data.index(b"crane", 4096 * (page - 1))
        data[at : at + 40] = bytes(40)
    index.write_bytes(data)
    with pytest.raises(DamagedFileError, match=r"text\.db is damaged") as caught:
        verify(home)
    assert "verify --repair" in str(caught.value.hint)

    verified = repair(home)
    assert (verified.report.ok, verified.indexed, verified.forgotten, verified.aside) == (True, True, 0, None)
    assert (verify(home).ok, repair(home).indexed) == (True, False)
    assert len(search(home, "cranes", k=50, mode="text").hits) == 40
    assert run_config(config).pipelines["ingest"].unchanged == 40


def test_a_text_index_that_lacks_words_is_made_anew_by_a_repair(tmp_path: Path) -> None:
    _cranes(tmp_path)
    home = tmp_path / "home"
    with contextlib.closing(sqlite3.connect(home / "store/text.db")) as connection, connection:
        connection.execute("DELETE FROM words WHERE rowid IN (3, 4)")
        connection.execute("DELETE FROM documents WHERE first_key = 5")
    assert (verify(home).ok, verify(home).unindexed) == (False, 3)
    verified = repair(home)
    assert (verified.report.ok, verified.indexed, verified.forgotten) == (True, False, 0)
    assert len(search(home, "cranes", k=50, mode="text").hits) == 40


def test_another_damaged_database_is_not_deleted_for_a_text_index(tmp_path: Path) -> None:
    _cranes(tmp_path)
    ledger = tmp_path / "home/ledger.db"
    ledger.write_bytes(b"this is no database " * 1000)
    with pytest.raises(DamagedFileError, match=r"ledger\.db is damaged"):
        repair(tmp_path / "home")
    assert ledger.exists()
    assert (tmp_path / "home/store/text.db").exists()


def test_a_vector_that_is_no_vector_is_stored_again(tmp_path: Path) -> None:
    config = _cranes(tmp_path)
    home = tmp_path / "home"
    table = lancedb.connect(home / "store").open_table("passages")
    rows = table.search().where("key IN (3, 4)").to_arrow()
    table.delete("key IN (3, 4)")
    at = rows.schema.get_field_index("vector")
    nothing = pa.array([[0.0] * 256] * 2, pa.list_(pa.float32(), 256)).cast(rows.schema.field(at).type)
    table.add(rows.set_column(at, rows.schema.field(at), nothing))
    report = verify(home)
    assert (report.ok, report.damaged, report.missing, report.orphans) == (False, 2, 0, 0)
    assert repair(home).forgotten == 2
    assert run_config(config).pipelines["ingest"].done == 2
    assert (verify(home).ok, verify(home).chunks) == (True, 40)


def test_a_store_that_does_not_say_what_it_is_is_set_aside(tmp_path: Path) -> None:
    config = _cranes(tmp_path)
    home = tmp_path / "home"
    (home / "store/format.json").write_bytes(b"\0\0\0\0")
    with pytest.raises(UnreadableStoreError, match=r"format\.json is damaged") as caught:
        verify(home)
    assert "verify --repair" in str(caught.value.hint)
    assert repair(home).aside == home / "store.damaged1"
    assert run_config(config).pipelines["ingest"].done == 40


def test_a_store_whose_disk_cannot_be_read_is_left_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, home = tmp_path / "docs", tmp_path / "home"
    folder.mkdir()
    (folder / "a.md").write_text("# A\n\nOne page.\n")
    run_config(ingest_config([str(folder)], home=home, embedder="static"))
    (data,) = (home / "store" / "passages.lance" / "data").iterdir()
    os.truncate(data, 100)
    opened = Path.open

    def open_(path: Path, *args: Any, **options: Any) -> Any:
        if path == data:
            raise OSError(errno.EIO, "Input/output error", str(path))
        return opened(path, *args, **options)

    monkeypatch.setattr(Path, "open", open_)
    with pytest.raises(UnreadableStoreError, match="cannot read"):
        repair(home)
    assert (home / "store" / "format.json").exists()
    assert not list(home.glob("store.damaged*"))


def test_a_home_whose_ledger_was_only_begun_is_as_good_as_none(tmp_path: Path) -> None:
    # A kill between the making of the file and its first transaction.
    folder, home = tmp_path / "docs", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    (home / "ledger.db").touch()
    (folder / "a.md").write_text("# A\n\nOne page.\n")
    config = ingest_config([str(folder)], home=home, embedder="static")
    assert run_config(config).pipelines["ingest"].done == 1

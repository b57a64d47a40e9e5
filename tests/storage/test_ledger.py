from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import pytest

from tenire.errors import InternalError, StoreError
from tenire.protocols import SourceFile
from tenire.storage import schema
from tenire.storage.database import Database, StoppedError, explain
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger
from tenire.storage.records import (
    Change,
    DocumentRow,
    DoneSource,
    Intent,
    MemberRow,
    RejectedSource,
    SourceState,
    is_racy,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

STRANGE = ["/plain", "/with\nnewline", "/\udcff\udcfe", "/ünï", "/a;'\"--", "/NUL-free \x01"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def ledger(home: Home) -> Iterator[Ledger]:
    with Ledger.open(home) as opened:
        yield opened


def done(path: str, document: str = "d1", *, size: int = 1, mtime_ns: int = 1) -> DoneSource:
    return DoneSource(path, size, mtime_ns, f"hash of {document}", document, racy=False)


def rejected(path: str, error: str = "bad") -> RejectedSource:
    return RejectedSource(path, 1, 1, "h", racy=False, stage="validate", error=error)


def filled(ledger: Ledger, *paths: str, pipeline: str = "p") -> None:
    add = () if ledger.sources.documents(["d1"]) else (DocumentRow("d1", 2, 10, "title"),)
    ledger.batches.apply(Change(pipeline, "r", done=tuple(map(done, paths)), add=add))


def test_paths_of_any_bytes_come_back_as_they_were(ledger: Ledger) -> None:
    filled(ledger, *STRANGE)
    run = ledger.runs.start("p")
    known = ledger.sources.known(run, [SourceFile(path, 1, 1) for path in STRANGE])
    assert sorted(known) == sorted(STRANGE)
    assert all(known[path].path == path for path in STRANGE)
    assert ledger.sources.sources_of(["d1"]) == {"d1": sorted(STRANGE)}


def test_an_intent_comes_back_as_it_was_opened(ledger: Ledger) -> None:
    change = Change(
        "p",
        "recipe",
        done=tuple(done(path) for path in STRANGE),
        rejected=(rejected("/\udcff", "cannot read /\udcff"),),
        removed=("/gone\udc80",),
        add=(DocumentRow("d1", 1, 2, "title \udcff"),),
        drop=("d0",),
    )
    ledger.batches.open(Intent("b1", change))
    assert ledger.batches.pending() == [Intent("b1", change)]
    ledger.batches.abandon(Intent("b1", change))
    assert ledger.batches.pending() == []


def test_titles_and_errors_with_undecodable_names_are_kept_readable(ledger: Ledger) -> None:
    ledger.batches.apply(
        Change(
            "p",
            rejected=(rejected("/\udcff", "cannot read /\udcff"),),
            done=(done("/a"),),
            add=(DocumentRow("d1", 1, 1, "\udcff"),),
        )
    )
    assert ledger.quarantine.entries()[0].error == "cannot read /\\udcff"
    assert ledger.sources.documents(["d1"])["d1"].title == "\\udcff"


def test_only_what_was_not_listed_vanishes(ledger: Ledger) -> None:
    filled(ledger, "/a", "/b", "/c")
    filled(ledger, "/other", pipeline="q")
    run = ledger.runs.start("p")
    ledger.sources.known(run, [SourceFile("/b", 1, 1), SourceFile("/new", 1, 1)])
    filled(ledger, "/new")
    assert list(ledger.sources.vanished(run, at_once=1)) == [["/a"], ["/c"]]


def test_vanished_sources_may_be_removed_while_they_are_told(ledger: Ledger) -> None:
    paths = [f"/{number:03}" for number in range(20)]
    filled(ledger, *paths)
    run = ledger.runs.start("p")
    gone = []
    for some in ledger.sources.vanished(run, at_once=3):
        ledger.batches.apply(Change("p", removed=tuple(some)))
        gone += some
    assert gone == paths


def test_a_source_that_replaced_a_removed_one_in_this_run_is_not_vanished(ledger: Ledger) -> None:
    filled(ledger, "/a", "/z")
    run = ledger.runs.start("p")
    ledger.sources.known(run, [SourceFile("/a", 1, 1)])
    # The highest row goes and a new one comes: its number must not be used again.
    ledger.batches.apply(Change("p", removed=("/z",)))
    filled(ledger, "/new")
    assert list(ledger.sources.vanished(run)) == []


def test_what_one_run_saw_means_nothing_to_the_next(ledger: Ledger) -> None:
    filled(ledger, "/a")
    first = ledger.runs.start("p")
    ledger.sources.known(first, [SourceFile("/a", 1, 1)])
    ledger.runs.finish(first, "done", {})
    assert list(ledger.sources.vanished(ledger.runs.start("p"))) == [["/a"]]


def test_many_files_are_looked_up_at_once(ledger: Ledger) -> None:
    paths = [f"/{number}" for number in range(2500)]
    filled(ledger, *paths)
    run = ledger.runs.start("p")
    assert len(ledger.sources.known(run, [SourceFile(path, 1, 1) for path in paths])) == 2500
    assert list(ledger.sources.vanished(run)) == []


def test_each_try_counts_and_the_id_stays(ledger: Ledger) -> None:
    for _ in range(3):
        ledger.batches.apply(Change("p", rejected=(rejected("/a"), rejected("/b"))))
    entries = ledger.quarantine.entries()
    assert [(entry.source, entry.attempts) for entry in entries] == [("/a", 3), ("/b", 3)]
    assert len({entry.id for entry in entries}) == 2


def test_retry_takes_the_entries_it_is_given_and_they_stay_until_there_is_an_answer(ledger: Ledger) -> None:
    ledger.batches.apply(Change("p", rejected=(rejected("/a"), rejected("/b"))))
    first, second = ledger.quarantine.entries()
    assert [entry.id for entry in ledger.quarantine.retry([first.id, "q999", "nonsense"])] == [first.id]
    assert [entry.retrying for entry in ledger.quarantine.entries()] == [True, False]
    run = ledger.runs.start("p")
    rows = ledger.sources.known(run, [SourceFile("/a", 1, 1), SourceFile("/b", 1, 1)])
    assert (rows["/a"].state, rows["/b"].state) == (SourceState.RETRY, SourceState.QUARANTINED)
    ledger.batches.apply(Change("p", rejected=(rejected("/a"),)))
    assert [(entry.retrying, entry.attempts) for entry in ledger.quarantine.entries()] == [(False, 2), (False, 1)]
    assert len(ledger.quarantine.retry()) == 2
    assert second.id == ledger.quarantine.entries()[1].id


def test_what_is_done_or_gone_leaves_quarantine_and_its_id_is_not_used_again(ledger: Ledger) -> None:
    ledger.batches.apply(Change("p", rejected=(rejected("/a"), rejected("/b"))))
    old = {entry.id for entry in ledger.quarantine.entries()}
    filled(ledger, "/a")
    ledger.batches.apply(Change("p", removed=("/b",)))
    assert (ledger.quarantine.entries(), ledger.quarantine.count()) == ([], 0)
    ledger.batches.apply(Change("p", rejected=(rejected("/c"),)))
    assert ledger.quarantine.entries()[0].id not in old


def test_quarantine_of_one_pipeline_is_told_apart(ledger: Ledger) -> None:
    ledger.batches.apply(Change("p", rejected=(rejected("/a"),)))
    ledger.batches.apply(Change("q", rejected=(rejected("/a"),)))
    assert [entry.pipeline for entry in ledger.quarantine.entries("q")] == ["q"]
    assert (ledger.quarantine.count("p"), ledger.quarantine.count()) == (1, 2)


def test_a_document_that_a_source_needs_cannot_be_forgotten(ledger: Ledger) -> None:
    filled(ledger, "/a")
    with pytest.raises(InternalError):
        ledger.batches.apply(Change("p", drop=("d1",)))
    assert ledger.totals().documents == 1


def test_a_change_that_fails_changes_nothing(ledger: Ledger) -> None:
    with pytest.raises(InternalError):
        ledger.batches.apply(Change("p", done=(done("/a"), done("/b", "unknown")), add=(DocumentRow("d1", 1, 1, ""),)))
    assert ledger.totals().documents == ledger.totals().unique_documents == 0


def test_totals_count_copies_once_where_they_are_stored_once(ledger: Ledger) -> None:
    filled(ledger, "/a", "/b")
    filled(ledger, "/a", pipeline="q")
    ledger.batches.apply(Change("p", rejected=(rejected("/bad"),)))
    totals = ledger.totals()
    assert (totals.documents, totals.unique_documents, totals.chunks) == (3, 1, 2)
    assert (totals.text_bytes, totals.quarantined) == (10, 1)
    assert ledger.sources.sources_of(["d1", "unknown"]) == {"d1": ["/a", "/b"]}


def test_the_last_run_of_each_pipeline_is_remembered(ledger: Ledger) -> None:
    for seen in (1, 2):
        ledger.runs.finish(ledger.runs.start("p"), "done", {"seen": seen})
    ledger.runs.start("q")
    last = ledger.runs.last()
    assert (last["p"].state, last["p"].totals) == ("done", {"seen": 2})
    assert (last["q"].state, last["q"].finished_at) == ("running", None)
    assert ledger.runs.mark_interrupted() == 1
    assert ledger.runs.last()["q"].state == "interrupted"


def test_old_runs_are_forgotten(ledger: Ledger) -> None:
    for _ in range(105):
        ledger.runs.finish(ledger.runs.start("p"), "done", {})
    ledger.runs.finish(ledger.runs.start("q"), "done", {})
    with ledger._database.reading() as connection:
        counts = dict(connection.execute("SELECT pipeline, count(*) FROM runs GROUP BY pipeline"))
    assert counts == {"p": 100, "q": 1}


def test_memos_are_found_by_recipe_and_input(ledger: Ledger) -> None:
    ledger.memos.put("r1", {str(number): bytes([number % 256]) for number in range(1200)})
    ledger.memos.put("r1", {"0": b"new"}, durable=True)
    found = ledger.memos.get("r1", [str(number) for number in range(1201)])
    assert len(found) == 1200
    assert (found["0"], found["1199"]) == (b"new", bytes([1199 % 256]))
    assert ledger.memos.get("r2", ["0"]) == {}


def test_settings_are_remembered(home: Home) -> None:
    with Ledger.open(home) as ledger:
        assert ledger.setting("embedder") is None
        ledger.remember("embedder", "static")
        ledger.remember("embedder", "minilm")
    with Ledger.read(home) as reader:
        assert reader.setting("embedder") == "minilm"


def test_a_touched_file_is_known_by_its_new_time(ledger: Ledger) -> None:
    filled(ledger, "/a")
    run = ledger.runs.start("p")
    ledger.sources.touched(run, [SourceFile("/a", 1, 77)])
    assert ledger.sources.known(run, [SourceFile("/a", 1, 77)])["/a"].mtime_ns == 77


@pytest.mark.parametrize(
    ("mtime_ns", "racy"),
    [
        (999_000_000_001, False),
        (1_000_000_000_001, True),
        (999_960_000_000, True),
        (999_900_000_001, False),
        (998_000_000_000, True),  # whole seconds: the file system may only have those
        (997_000_000_000, False),
    ],
)
def test_a_file_written_as_the_run_began_or_later_is_racy(mtime_ns: int, *, racy: bool) -> None:
    assert is_racy(mtime_ns, 1000.0) is racy


# ---- the file


def test_reading_makes_no_file_where_there_is_no_ledger(home: Home) -> None:
    with pytest.raises(StoreError, match="no home"):
        Ledger.read(home)
    home.create()
    with pytest.raises(StoreError):
        Ledger.read(home)
    home.ledger_path.touch()
    with pytest.raises(StoreError, match="holds nothing yet"):
        Ledger.read(home)
    assert os.listdir(home.path) == ["ledger.db"]


def test_readers_read_while_a_writer_is_in_a_transaction(home: Home) -> None:
    with Ledger.open(home) as ledger:
        filled(ledger, "/a")
        with ledger._database.writing() as connection:
            connection.execute("DELETE FROM sources")
            with Ledger.read(home) as reader:
                assert reader.totals().documents == 1
                with pytest.raises(StoreError, match="cannot be written"):
                    reader.remember("a", "b")
        with Ledger.read(home) as reader:
            assert reader.totals().documents == 0


def test_a_ledger_of_a_newer_version_is_refused_and_left_alone(home: Home) -> None:
    Ledger.open(home).close()
    with sqlite3.connect(home.ledger_path) as connection:
        connection.execute(f"PRAGMA user_version = {schema.FORMAT + 1}")
    connection.close()
    before = home.ledger_path.read_bytes()
    for opener in (Ledger.open, Ledger.read):
        with pytest.raises(StoreError, match=f"format {schema.FORMAT + 1}") as caught:
            opener(home)
        assert "upgrade" in (caught.value.hint or "")
    assert home.ledger_path.read_bytes() == before


def test_some_other_database_is_refused_and_left_alone(home: Home) -> None:
    home.create()
    with sqlite3.connect(home.ledger_path) as connection:
        connection.execute("CREATE TABLE mine (a)")
    connection.close()
    before = home.ledger_path.read_bytes()
    for opener in (Ledger.open, Ledger.read):
        with pytest.raises(StoreError, match="not a ledger"):
            opener(home)
    assert home.ledger_path.read_bytes() == before


def test_a_file_that_is_no_database_is_called_damaged_with_a_remedy(home: Home) -> None:
    home.create()
    home.ledger_path.write_bytes(b"something else entirely" * 400)
    for opener in (Ledger.open, Ledger.read):
        with pytest.raises(StoreError, match=r"ledger\.db is damaged") as caught:
            opener(home)
        assert "move it aside" in (caught.value.hint or "")


def test_damage_inside_is_found_when_an_engine_opens(home: Home) -> None:
    with Ledger.open(home) as ledger:
        filled(ledger, *(f"/{number}" for number in range(2000)))
    content = bytearray(home.ledger_path.read_bytes())
    for page in range(5, len(content) // 4096):
        content[page * 4096 : page * 4096 + 64] = os.urandom(64)
    home.ledger_path.write_bytes(content)
    with pytest.raises(StoreError, match=r"ledger\.db is damaged"):
        Ledger.open(home)


def test_a_kill_in_the_middle_of_a_transaction_leaves_the_ledger_readable(home: Home) -> None:
    script = """
import os, sys
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger
ledger = Ledger.open(Home(sys.argv[1]))
ledger.remember("kept", "yes")
with ledger._database.writing() as connection:
    connection.execute("INSERT INTO settings VALUES ('lost', 'yes')")
    os.abort()
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    died = subprocess.run([sys.executable, "-c", script, str(home.path)], env=environment, check=False)
    assert died.returncode != 0
    for opener in (Ledger.read, Ledger.open):
        with opener(home) as ledger:
            assert (ledger.setting("kept"), ledger.setting("lost")) == ("yes", None)


def test_a_reader_never_settles_for_an_old_state_where_a_journal_waits(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    script = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("CREATE TABLE t (a)")
connection.execute("PRAGMA cache_size = 1")
connection.execute("BEGIN")
for number in range(2000):
    connection.execute("INSERT INTO t VALUES (?)", ("x" * 500,))
os.abort()
"""
    subprocess.run([sys.executable, "-c", script, str(path)], check=False, stderr=subprocess.DEVNULL)
    assert (tmp_path / "x.db-journal").stat().st_size > 0
    # What the killed writer had begun is taken back first, so there is one truth to read.
    reader = Database(path, writable=False)
    assert not (tmp_path / "x.db-journal").exists()
    writer = Database(path, writable=True)
    for expected in (0, 1):
        with reader.reading() as connection:
            assert connection.execute("SELECT count(*) FROM t").fetchone() == (expected,)
        with writer.writing() as connection:
            connection.execute("INSERT INTO t VALUES (1)")
    reader.close()
    writer.close()


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_ledger_that_knows_no_containers_yet_can_be_read_and_is_completed(home: Home) -> None:
    with Ledger.open(home) as ledger:
        filled(ledger, "/a", "/b")
        ledger.batches.apply(Change("p", "r", rejected=(rejected("/c"),)))
    with sqlite3.connect(home.ledger_path) as connection:
        connection.execute("DROP INDEX sources_by_container")
        connection.execute("ALTER TABLE sources DROP COLUMN container")
        connection.execute("ALTER TABLE sources DROP COLUMN read_in")
    connection.close()
    with Ledger.read(home) as reader:
        assert (reader.totals().documents, reader.sources.passages()[1]) == (2, 2)
        assert [(entry.source, entry.container) for entry in reader.quarantine.entries()] == [("/c", "")]
    with Ledger.open(home) as ledger:
        change = Change("p", "r", done=(done("/z!/m")._replace(container="/z"),), run=7)
        ledger.batches.apply(change)
        assert ledger.sources.members_of("p", ["/z", "/a"]) == [MemberRow("/z!/m", "/z", quarantined=False, read_in=7)]
        assert ledger.totals().documents == 3


def test_a_ledger_in_a_read_only_directory_can_be_read(home: Home) -> None:
    with Ledger.open(home) as ledger:
        filled(ledger, "/a")
    home.path.chmod(0o500)
    try:
        with Ledger.read(home) as reader:
            assert reader.totals().documents == 1
    finally:
        home.path.chmod(0o700)


def test_a_full_disk_is_told_as_such_and_changes_nothing(home: Home) -> None:
    with Ledger.open(home) as ledger:
        filled(ledger, "/a")
        with ledger._database.reading() as connection:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
        ledger._database._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreError, match="no space left") as caught:
            filled(ledger, *(f"/{number}" for number in range(5000)))
        assert caught.value.hint
        assert ledger.totals().documents == 1
        ledger._database._connection.execute("PRAGMA max_page_count = 1000000")
        filled(ledger, "/b")
        assert ledger.totals().documents == 2


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (sqlite3.SQLITE_FULL, "no space left"),
        (sqlite3.SQLITE_READONLY, "cannot be written"),
        (sqlite3.SQLITE_CORRUPT, "damaged"),
        (sqlite3.SQLITE_BUSY, "locked"),
        (sqlite3.SQLITE_CANTOPEN, "cannot read or write"),
        (sqlite3.SQLITE_IOERR | (10 << 8), "cannot read or write"),
        (None, "failed"),
    ],
)
def test_every_error_of_sqlite_says_what_to_do(tmp_path: Path, code: int | None, word: str) -> None:
    error = sqlite3.OperationalError("why")
    if code is not None:
        error.sqlite_errorcode = code
    told = explain(error, tmp_path / "ledger.db")
    assert isinstance(told, StoreError)
    assert word in str(told)
    assert "ledger.db" in str(told)
    assert told.hint


def test_threads_share_one_ledger(ledger: Ledger) -> None:
    errors: list[BaseException] = []

    def work(name: str) -> None:
        try:
            run = ledger.runs.start(name)
            for number in range(20):
                ledger.batches.apply(Change(name, rejected=(rejected(f"/{number}"),)))
                ledger.sources.known(run, [SourceFile(f"/{number}", 1, 1)])
            assert list(ledger.sources.vanished(run)) == []
            ledger.runs.finish(run, "done", {})
        except BaseException as error:  # noqa: BLE001 - handed to the test's thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(f"p{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert ledger.quarantine.count() == 80


class Never:
    """A stop sign that is never given; counts how often it was looked at."""

    requested = False

    def calling(self, interrupt: Callable[[], object]) -> AbstractContextManager[None]:
        return nullcontext()


def grown(ledger: Ledger) -> int:
    """Fill a ledger with what nobody needs any more; return the bytes of its files."""
    ledger.memos.put("r", {str(number): bytes(4000) for number in range(1000)})
    ledger.memos.clear()
    path = ledger._database.path
    return sum(path.with_name(path.name + suffix).stat().st_size for suffix in ("", "-wal"))


def test_a_ledger_gives_back_what_nobody_needs_and_stays_whole(ledger: Ledger) -> None:
    filled(ledger, "/a", "/b")
    before = grown(ledger)
    gained = ledger.tidy(Never())
    assert gained > 4_000_000
    assert ledger._database.path.stat().st_size == before - gained < 500_000
    assert ledger.tidy(Never()) == 0
    schema.check_integrity(ledger._database)
    assert ledger.totals().documents == 2


def test_a_reader_that_looks_on_keeps_nobody_waiting(ledger: Ledger, home: Home) -> None:
    filled(ledger, "/a")
    with Ledger.read(home) as reader, reader.snapshot():
        assert reader.totals().documents == 1
        grown(ledger)
        ledger.tidy(Never())
    assert ledger.tidy(Never()) > 0, "what it kept is given back the next time"


def test_a_ledger_stops_tidying_when_it_is_told_to(ledger: Ledger) -> None:
    class Soon(Never):
        looked = 0

        @property
        def requested(self) -> bool:  # type: ignore[override]
            self.looked += 1
            return self.looked > 2

    grown(ledger)
    stop = Soon()
    before = ledger._database.path.stat().st_size
    ledger.tidy(stop)
    assert stop.looked == 4
    assert ledger._database.path.stat().st_size == before, "it is only shorter once the log was emptied"
    assert ledger.tidy(Never()) > 0


def test_an_old_ledger_that_cannot_shrink_is_left_as_it_is(home: Home) -> None:
    home.create()
    connection = sqlite3.connect(home.ledger_path)
    connection.execute("CREATE TABLE x (y)")
    connection.execute("DROP TABLE x")
    connection.close()
    with Ledger.open(home) as ledger:
        grown(ledger)
        ledger.tidy(Never())
        assert ledger.tidy(Never()) == 0
        schema.check_integrity(ledger._database)


def test_a_change_that_is_broken_off_changes_nothing(home: Home) -> None:
    class Now(Never):
        def calling(self, interrupt: Callable[[], object]) -> AbstractContextManager[None]:
            timer = threading.Timer(0.05, interrupt)
            timer.start()

            @contextmanager
            def block() -> Iterator[None]:
                try:
                    yield
                finally:
                    timer.join()

            return block()

    with Ledger.open(home) as ledger:
        filled(ledger, "/a")
        endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"

        def change() -> None:
            with ledger._database.writing(stop=Now()) as connection:
                connection.execute("DELETE FROM sources")
                connection.execute(endless)

        with pytest.raises(StoppedError):
            change()
        assert ledger.totals().documents == 1
        filled(ledger, "/b")

"""Whole runs with a store on a PostgreSQL server."""

from __future__ import annotations

import shutil
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tenire.app import inspect
from tenire.app.compaction import compact
from tenire.app.place import choose_place, open_recorded_store, recorded_place
from tenire.app.search import Store, search
from tenire.app.stores import bytes_at
from tenire.errors import ConfigError, EmbedderMismatchError, StoreError
from tenire.storage.home import Home
from tenire.vectors.postgres.address import ServerAddress

from .conftest import LEDGERS, VOLCANOES, ZEBRAS, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scripts.postgres_cluster import Cluster

    from tenire.pipeline.progress import RunReport

    Ingest = Callable[..., RunReport]


@pytest.fixture
def dsn(new_database: Callable[[], str]) -> str:
    return new_database()


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    for name, text in (("zebras", ZEBRAS), ("ledgers", LEDGERS), ("volcanoes", VOLCANOES)):
        write(tmp_path / "docs" / f"{name}.txt", text)
    return tmp_path / "docs"


def found(home: Path, query: str, **options: object) -> list[str]:
    return [hit.source.rpartition("/")[2] for hit in search(home, query, **options).hits]


def test_a_folder_is_ingested_searched_changed_and_verified(
    ingest: Ingest, docs: Path, tmp_path: Path, dsn: str
) -> None:
    home = tmp_path / "home"
    first = ingest(docs, store=dsn).pipelines["ingest"]
    assert (first.seen, first.done, first.chunks) == (3, 3, 3)
    for mode in ("hybrid", "vector", "text"):
        assert found(home, "zebras graze", k=1, mode=mode) == ["zebras.txt"]
    assert found(home, "zebras graze", where="source = ledgers.txt") == ["ledgers.txt"]
    assert search(home, "zebras", k=1, mode="text", context=1).hits[0].context is not None
    assert not (home / "store").exists()

    again = ingest(docs).pipelines["ingest"]
    assert (again.done, again.unchanged) == (0, 3)
    write(docs / "zebras.txt", "Zebras have left for the coast.")
    (docs / "volcanoes.txt").unlink()
    changed = ingest(docs).pipelines["ingest"]
    assert (changed.done, changed.unchanged, changed.removed) == (1, 1, 1)
    assert found(home, "molten rock", mode="text") == []
    assert found(home, "coast", mode="text") == ["zebras.txt"]
    report = inspect.verify(home)
    assert (report.ok, report.documents, report.chunks) == (True, 2, 2)
    status = inspect.status(home)
    assert (status["documents"], status["chunks"]) == (2, 2)
    assert status["text_bytes"] == len("Zebras have left for the coast.") + len(LEDGERS)
    assert status["store_bytes"] > 0
    tidied = compact(home)
    assert (tidied.chunks, tidied.indexed) == (2, 0)
    assert tidied.before_bytes >= bytes_at(ServerAddress.of(dsn)) // 2


@pytest.mark.parametrize(
    ("damage", "missing", "orphans"),
    [
        ("DELETE FROM tenire.passages WHERE text LIKE 'Zebras%'", 1, 0),
        ("INSERT INTO tenire.passages (document, ordinal, start, stop, source, text, text_hash, words, vector)"
         " SELECT 'stray', 0, 0, 1, '', 'x', sha256('x'), words, vector FROM tenire.passages LIMIT 1", 0, 1),
        ("UPDATE tenire.passages SET text = 'other' WHERE text LIKE 'Zebras%'", 0, 0),
        ("DROP SCHEMA tenire CASCADE", 3, 0),
    ],
)  # fmt: skip
def test_what_is_lost_or_damaged_is_found_and_mended(
    ingest: Ingest, docs: Path, tmp_path: Path, dsn: str, postgres: Cluster, damage: str, missing: int, orphans: int
) -> None:
    home = tmp_path / "home"
    ingest(docs, store=dsn)
    postgres.execute(damage, database="test")
    if damage.startswith("DROP"):
        with pytest.raises(StoreError, match=r"postgresql://.* is gone") as caught:
            inspect.verify(home)
        assert "--repair" in (caught.value.hint or "")
        with pytest.raises(StoreError, match="is gone, but the ledger lists"):
            ingest(docs)
    else:
        report = inspect.verify(home)
        assert (report.ok, report.missing, report.orphans) == (False, missing, orphans)
    assert inspect.repair(home).report.ok
    ingest(docs)
    report = inspect.verify(home)
    assert (report.ok, report.documents, report.chunks) == (True, 3, 3)
    assert found(home, "zebras graze", k=1) == ["zebras.txt"]


def test_a_batch_of_a_killed_engine_is_settled_by_what_the_server_says(
    ingest: Ingest, docs: Path, tmp_path: Path, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tenire.storage.batches import BatchTable
    from tenire.vectors.postgres.store import PostgresStore

    home = tmp_path / "home"
    commit, settle = PostgresStore.commit, BatchTable.settle

    def killed(*_: object) -> None:
        raise RuntimeError("killed")

    for committed in (False, True):
        if committed:
            monkeypatch.setattr(BatchTable, "settle", killed)
        else:
            monkeypatch.setattr(PostgresStore, "commit", killed)
        assert ingest(docs, store=dsn).failed
        monkeypatch.setattr(PostgresStore, "commit", commit)
        monkeypatch.setattr(BatchTable, "settle", settle)
        with closing(open_recorded_store(Home(home))) as store:
            assert store.count() == (3 if committed else 0)
    ingest(docs)
    report = inspect.verify(home)
    assert (report.ok, report.documents, report.chunks, report.pending) == (True, 3, 3, 0)


def test_a_password_goes_nowhere(
    ingest: Ingest, docs: Path, tmp_path: Path, dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    # The server trusts everybody, so any password will do.
    caplog.set_level("DEBUG")
    ingest(docs, store=dsn.replace("tester@", "tester:hunter2@") + "&sslpassword=hunter2")
    home = tmp_path / "home"
    assert recorded_place(Home(home)) == (ServerAddress.of(dsn), "static")
    assert found(home, "zebras", k=1) == ["zebras.txt"]
    written = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert b"hunter2" not in written
    assert "hunter2" not in caplog.text
    place = choose_place(Home(home), store=dsn.replace("tester@", "tester:hunter2@"), embedder="auto")
    assert "hunter2" not in repr(place)


def test_another_home_cannot_have_the_same_store(ingest: Ingest, docs: Path, tmp_path: Path, dsn: str) -> None:
    ingest(docs, store=dsn)
    with pytest.raises(ConfigError, match="belongs to another home"):
        ingest(docs, store=dsn, home=tmp_path / "other")
    assert inspect.verify(tmp_path / "home").ok
    copy = shutil.copytree(tmp_path / "home", tmp_path / "copy")
    assert found(copy, "zebras", k=1) == ["zebras.txt"]


def test_a_store_that_another_home_has_made_in_its_place_is_left_alone(
    ingest: Ingest, docs: Path, tmp_path: Path, dsn: str, postgres: Cluster
) -> None:
    ingest(docs, store=dsn)
    postgres.execute("DROP SCHEMA tenire CASCADE", database="test")
    ingest(docs, store=dsn, home=tmp_path / "other")
    for use in (inspect.verify, inspect.repair, Store):
        with pytest.raises(StoreError, match="belongs to another home"):
            use(tmp_path / "home")
    assert inspect.verify(tmp_path / "other").ok


def test_a_server_may_go_by_another_name_but_a_home_stays_with_its_store(
    ingest: Ingest, docs: Path, tmp_path: Path, dsn: str, postgres: Cluster
) -> None:
    ingest(docs, store=dsn)
    renamed = dsn + "&application_name=elsewhere"
    assert ingest(docs, store=renamed).pipelines["ingest"].unchanged == 3
    assert recorded_place(Home(tmp_path / "home"))[0] == ServerAddress.of(renamed)
    for other in (dsn.replace("/test?", "/postgres?"), str(tmp_path / "folder")):
        with pytest.raises(ConfigError, match="keeps its passages in"):
            ingest(docs, store=other)
    assert postgres.execute("SELECT to_regclass('tenire.store')") == [(None,)]


def test_another_embedder_is_refused_unless_it_is_asked_for(
    ingest: Ingest, docs: Path, tmp_path: Path, dsn: str
) -> None:
    ingest(docs, store=dsn)
    home = Home(tmp_path / "home")
    with pytest.raises(EmbedderMismatchError, match="built with the embedder") as caught:
        choose_place(home, store=dsn, embedder="minilm")
    assert "--upgrade-embedder" in str(caught.value.hint)
    assert "database" in str(caught.value.hint)


def test_a_server_that_is_not_there_ends_a_run_before_it_begins(ingest: Ingest, docs: Path, tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="needs the extra postgres")
    with pytest.raises(StoreError, match=r"postgresql://me@127\.0\.0\.1:9/db") as caught:
        ingest(docs, store="postgresql://me:hunter2@127.0.0.1:9/db")
    assert "hunter2" not in str(caught.value)
    assert not (tmp_path / "home").exists()


def test_a_configuration_names_the_server(
    run_toml: Callable[..., RunReport], docs: Path, tmp_path: Path, dsn: str
) -> None:
    report = run_toml(f'[pipelines.docs]\nsource = "docs"\nembedder = "static"\nstore = "{dsn}"\n')
    assert report.pipelines["docs"].done == 3
    assert found(tmp_path / "home", "ledger payment", k=1) == ["ledgers.txt"]

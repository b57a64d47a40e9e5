from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tenire.concurrency.compactor import Stop
from tenire.errors import StoreError
from tenire.vectors import interruptible, lance_errors, lance_table, maintenance
from tenire.vectors.store import LanceStore
from tenire.vectors.table_view import TableView

from .conftest import BOOK, FOX, SEA, python_documents

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Maker

    Open = Callable[..., LanceStore]


def _ids(hits: list[object]) -> list[str]:
    return [hit.document for hit in hits]


# ---------------------------------------------------------------- opening


def test_a_store_that_is_not_there_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store at") as caught:
        LanceStore(tmp_path / "home" / "store", create=False)
    assert caught.value.hint == "run: tenire ingest PATH"
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("content", [b'{"format": 3}', b"{", b'{"format": 1, "embedder": 3, "dimension": 4}'])
def test_a_newer_or_damaged_format_is_refused_with_a_remedy(open_store: Open, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "format.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"format\.json") as caught:
        open_store()
    assert caught.value.hint


# ---------------------------------------------------------------- commits


def test_the_same_batch_twice_changes_nothing(open_store: Open, make: Maker) -> None:
    store = open_store()
    for _ in range(2):
        store.commit(make.batch("b1", make.document("d1", FOX)))
    version = store._table.version()
    store.commit(make.batch("b1", make.document("d2", SEA)))
    assert store._table.version() == version
    assert dict(store.check().passages) == {"d1": 1}


@pytest.mark.parametrize("removed", [1, 3000])
def test_adding_and_removing_is_one_version(open_store: Open, make: Maker, removed: int) -> None:
    store = open_store()
    old = [make.document(f'it\'s "{n}" \\ ; --', f"old passage {n}") for n in range(removed)]
    store.commit(make.batch("b1", *old, make.document("stays", FOX)))
    before = store._table.version()
    store.commit(make.batch("b2", make.document("new", SEA), remove=tuple(d.id for d in old)))
    assert store._table.version() == before + 1
    check = store.check()
    assert (dict(check.passages), check.duplicates, check.unindexed) == ({"stays": 1, "new": 1}, 0, 0)
    assert store.search("old passage", None, k=5, mode="text", exact=False) == []


# ---------------------------------------------------------------- search


# ---------------------------------------------------------------- vectors, sizes, maintenance


def test_real_texts_take_less_than_half_of_their_size(open_store: Open, make: Maker, tmp_path: Path) -> None:
    store = open_store()
    documents = python_documents(make, 60)
    store.commit(make.batch("b1", *documents))
    sizes = store.sizes()
    assert sizes["text_bytes"] == sum(len(p.text.encode()) for d in documents for p in d.passages)
    assert sizes["text_bytes"] >= 2.2 * sizes["text_stored_bytes"]
    assert sizes["store_bytes"] >= sizes["text_stored_bytes"]
    assert len(list((tmp_path / "store" / "dictionaries").glob("*.zdict"))) == 1


def test_texts_from_before_the_dictionary_stay_readable(open_store: Open, make: Maker) -> None:
    store = open_store()
    store.commit(make.batch("b1", make.document("early", FOX)))
    reader = open_store(create=False)
    assert reader.search("fox", None, k=1, mode="text", exact=False)[0].text == FOX
    documents = python_documents(make, 60)
    store.commit(make.batch("b2", *documents))
    assert store._texts._codec.current
    # The reader was open before the dictionary was trained.
    first = documents[0].passages[0].text
    assert reader.search(first[:200], None, k=1, mode="text", exact=False)[0].text == first
    assert open_store().check().details == ()


def test_maintenance_that_may_be_broken_off_does_the_same(open_store: Open, make: Maker) -> None:
    store = open_store()
    for n in range(6):
        store.commit(make.batch(f"b{n}", make.document(f"d{n}", f"{FOX} {n}")))
    assert store.optimise(idle=True, stop=Stop())
    assert store._table.state().fragments <= 1
    assert store._words.version == store._table.version()
    store.commit(make.batch("later", make.document("later", SEA), remove=("d0",)))
    assert store.check().unindexed == 0
    assert _ids(store.search("herring", None, k=1, mode="text", exact=False)) == ["later"]


def test_maintenance_that_is_broken_off_loses_nothing_and_is_done_the_next_time(
    open_store: Open, make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    for n in range(6):
        store.commit(make.batch(f"b{n}", make.document(f"d{n}", f"{FOX} {n}")))
    before = store._table.version()
    stop = Stop()
    stop.request()
    assert not store.optimise(idle=True, stop=stop)
    real = interruptible.work_on

    def told_at_once(path: Any, name: str, work: Any, stop: Stop) -> bool:
        async def slow(table: Any) -> None:
            threading.Timer(0.05, stop.request).start()
            await asyncio.Event().wait()
            await work(table)

        return real(path, name, slow, stop)

    monkeypatch.setattr(lance_table, "work_on", told_at_once)
    assert not store.optimise(idle=True, stop=Stop())
    monkeypatch.undo()
    assert store._table.version() == before
    assert store.check().details == ()
    assert store.optimise(idle=True, stop=Stop())
    assert store._table.state().rows == 6


def test_maintenance_keeps_every_row_and_forgets_what_left(open_store: Open, make: Maker) -> None:
    store = open_store()
    for n in range(6):
        store.commit(make.batch(f"b{n}", make.document(f"d{n}", f"{FOX} {n}", f"{BOOK} {n}")))
    assert not store.optimise(), "six small pieces are nothing to stop work for"
    store.commit(make.batch("gone", remove=("d0", "d1", "d2")))
    assert store.optimise(idle=True)
    assert store._table.state().fragments <= 1
    check = store.check()
    assert (dict(check.passages), check.unindexed) == ({"d3": 2, "d4": 2, "d5": 2}, 0)
    assert store._words.version == store._table.version()
    assert _ids(store.search("ledger", None, k=3, mode="text", exact=False)) == ["d3", "d4", "d5"]


@pytest.mark.slow
@pytest.mark.parametrize("indexed", [False, True])
def test_a_thousand_commits_leave_no_thousand_versions(open_store: Open, make: Maker, *, indexed: bool) -> None:
    store = open_store()
    store.commit(make.batch("first", *(make.document(f"f{n}", f"passage {n} of many") for n in range(600))))
    if indexed:
        store._table.build_index()
    store.optimise(idle=True)
    before = store.sizes()["store_bytes"]
    for n in range(1000):
        store.commit(make.batch(f"b{n}", make.document(f"d{n}", f"passage {n}"), remove=(f"d{n - 1}",) if n else ()))
        if n % 50 == 49:
            store.optimise()
    assert store._table.state().versions < 500
    # SQLite keeps a log of up to 4 MiB.
    assert store.sizes()["store_bytes"] < before + (6 << 20)
    assert store.check().details == ()


@pytest.mark.parametrize("grown", [False, True])
def test_an_index_of_an_older_version_is_replaced_and_never_refreshed(
    open_store: Open, make: Maker, monkeypatch: pytest.MonkeyPatch, *, grown: bool
) -> None:
    from lancedb.index import HnswSq

    store = open_store()
    store.commit(make.batch("b1", *[make.document(f"d{n}", f"passage number {n} of many") for n in range(400)]))
    table = store._table._table(create=False)
    table.create_index("vector", config=HnswSq(distance_type="cosine"))
    assert store._table.state().indexed == 0
    text = "passage number 7 of many"
    assert store.search(text, make.vector(text), k=1, mode="vector")[0].document == "d7"
    if grown:
        store.commit(make.batch("b2", make.document("late", "passage number nine hundred came late")))
        assert store.optimise(idle=True)
        assert table.list_indices() == []
    monkeypatch.setattr(maintenance, "_INDEX_ROWS", 300)
    assert store.optimise(ended=True)
    assert [index.index_type for index in table.list_indices()] == ["IvfSq"]
    assert store._table.state().indexed == 400 + grown
    assert store.search(text, make.vector(text), k=1, mode="vector")[0].document == "d7"


def test_an_index_that_was_refreshed_often_becomes_one_again(
    open_store: Open, make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    store.commit(make.batch("b1", *[make.document(f"d{n}", f"passage number {n} of many") for n in range(400)]))
    store._table.build_index()
    for n in range(3):
        store.commit(make.batch(f"late{n}", make.document(f"late{n}", f"passage {n} came late")))
        store.compact()
    assert store._table.state().parts == 4
    monkeypatch.setattr(maintenance, "_PARTS", 3)
    assert store.optimise(idle=True)
    state = store._table.state()
    assert (state.parts, state.indexed) == (1, 403)
    text = "passage 2 came late"
    assert store.search(text, make.vector(text), k=1, mode="vector")[0].document == "late2"


def test_what_commits_leave_in_memory_does_not_grow_with_their_number(open_store: Open, make: Maker) -> None:
    store = open_store()
    for n in range(120):
        store.commit(make.batch(f"b{n}", make.document(f"d{n}", f"passage {n}")))
    assert store._table._session.size_bytes < 3 << 20


def test_the_vector_index_finds_old_and_new_passages(
    open_store: Open, make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "_INDEX_ROWS_IDLE", 300)
    store = open_store()
    store.commit(make.batch("b1", *[make.document(f"d{n}", f"passage number {n} of many") for n in range(400)]))
    assert store.optimise(idle=True)
    assert store._table.state().indexed == 400
    store.commit(make.batch("b2", make.document("late", "passage number nine hundred came late")))
    for exact in (False, True):
        for text, name in (("passage number 7 of many", "d7"), ("passage number nine hundred came late", "late")):
            hits = store.search(text, make.vector(text), k=1, mode="vector", exact=exact)
            assert hits[0].document == name
            assert hits[0].score == pytest.approx(1.0, abs=1e-3)
    assert not store.optimise(idle=True), "one new passage is no reason to refresh the index"


def test_it_is_told_before_the_index_is_built(open_store: Open, make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "_INDEX_ROWS", 300)
    store, told = open_store(), []
    for start in (0, 200):
        passages = [make.document(f"d{n}", f"passage number {n} of many") for n in range(start, start + 200)]
        store.commit(make.batch(f"b{start}", *passages))
        store.optimise(ended=True, before_long=lambda: told.append(store._table.state()))
    assert [(state.rows, state.indexed) for state in told] == [(400, 0)]
    assert store._table.state().indexed == 400


def test_what_commits_have_freed_is_given_back(open_store: Open, make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    returned: list[int] = []
    store = open_store()
    monkeypatch.setattr(lance_table, "return_memory", lambda: returned.append(store.count()))
    for start in range(0, 1600, 200):
        passages = [make.document(f"d{n}", f"passage {n}") for n in range(start, start + 200)]
        store.commit(make.batch(f"b{start}", *passages))
    assert returned == [400, 1000], "every 512 passages or more, not with each small commit"


def test_exact_search_asks_to_pass_over_the_index(
    open_store: Open, make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    store.commit(make.batch("b1", make.document("d1", FOX)))
    asked: list[bool] = []
    nearest = TableView.nearest

    def spy(view: TableView, vector: Any, *, exact: bool, **options: Any) -> dict[int, float]:
        asked.append(exact)
        return nearest(view, vector, exact=exact, **options)

    monkeypatch.setattr(TableView, "nearest", spy)
    store.search("fox", make.vector("fox"), k=1, mode="hybrid", exact=True)
    assert asked == [True]


def test_opening_and_counting_need_no_lancedb(open_store: Open, make: Maker, tmp_path: Path) -> None:
    open_store().commit(make.batch("b1", make.document("d1", FOX)))
    code = (
        "import sys; from pathlib import Path; from tenire.vectors.store import LanceStore\n"
        f"s = LanceStore(Path({str(tmp_path / 'store')!r}), create=False)\n"
        "assert (s.count(), s.documents()) == (1, 1) and s.sizes()['text_bytes'] > 0; s.close()\n"
        "print([m for m in ('lancedb', 'pyarrow', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize("also", ["", ", /build/lance-io-1.0/src/object_writer.rs:705:17"])
def test_an_error_of_the_store_names_no_place_in_foreign_source(tmp_path: Path, also: str) -> None:
    source = f", /build/lance-file-1.0/src/writer.rs:191:9{also}"
    told = f"lance error: LanceError(IO): No space left on device (os error 28){source}"
    with pytest.raises(StoreError) as caught, lance_errors.explained(tmp_path, "write"):
        raise OSError(told)
    assert str(caught.value).endswith("No space left on device (os error 28)")
    assert caught.value.__cause__ is not None

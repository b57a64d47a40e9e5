"""What a store is after it was cut off: at every step of a commit, and by a real kill."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from tenire.errors import UnreadableStoreError
from tenire.vectors import text_rows
from tenire.vectors.lance_table import LanceTable
from tenire.vectors.new_rows import checked_vectors, new_rows
from tenire.vectors.passage_rows import usable
from tenire.vectors.store_files import StoreFormat, write_format
from tenire.vectors.text_index import TextIndex

from .conftest import python_documents

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Maker

    from tenire.vectors.store import LanceStore

    Open = Callable[..., LanceStore]


class Kill(BaseException):
    """Ends everything at once, as a kill does: nobody catches it."""


def _cut_off(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, *, after: bool) -> None:
    real = getattr(owner, name)

    def cut(self: object, *args: object, **kwargs: object) -> object:
        if after:
            real(self, *args, **kwargs)
        raise Kill

    monkeypatch.setattr(owner, name, cut)


def _state(store: LanceStore) -> tuple[dict[str, int], int, int, tuple[str, ...]]:
    check = store.check()
    return dict(check.passages), check.duplicates, check.unindexed, check.details


@pytest.mark.parametrize("with_removal", [False, True])
@pytest.mark.parametrize(
    ("owner", "name", "after", "there"),
    [
        (LanceTable, "write", False, False),
        (LanceTable, "write", True, True),
        (TextIndex, "apply", False, True),
        (TextIndex, "apply", True, True),
    ],
)
def test_a_batch_that_was_cut_off_is_there_whole_or_not_at_all(
    open_store: Open, make: Maker, owner: type, name: str, *, after: bool, there: bool, with_removal: bool
) -> None:
    first = open_store()
    first.commit(make.batch("b1", make.document("old", "an old passage"), make.document("kept", "a kept passage")))
    batch = make.batch("b2", make.document("new", "a new passage", "and more"), remove=("old",) * with_removal)
    with pytest.MonkeyPatch.context() as patch:
        _cut_off(patch, owner, name, after=after)
        with pytest.raises(Kill):
            first.commit(batch)
    first.close()

    store = open_store(create=False)
    assert store.has_batch("b2") is there
    assert store.has_batch("b1")
    assert store.check().unindexed == 0
    store.commit(batch)
    expected = {"kept": 1, "new": 2} | ({} if with_removal else {"old": 1})
    assert _state(store) == (expected, 0, 0, ())
    found = {hit.document for hit in store.search("passage", None, k=9, mode="text", exact=False)}
    assert found == set(expected)


def test_a_removal_that_was_cut_off_may_be_done_again(open_store: Open, make: Maker) -> None:
    first = open_store()
    first.commit(make.batch("b1", make.document("old", "an old passage")))
    with pytest.MonkeyPatch.context() as patch:
        _cut_off(patch, TextIndex, "apply", after=False)
        with pytest.raises(Kill):
            first.commit(make.batch("b2", remove=("old",)))
    first.close()
    store = open_store(create=False)
    assert not store.has_batch("b2"), "nothing can prove it, and doing it again is harmless"
    store.commit(make.batch("b2", remove=("old",)))
    assert store.has_batch("b2")
    assert _state(store) == ({}, 0, 0, ())


def test_a_cut_off_removal_makes_no_other_batch_of_these_rows_look_lost(open_store: Open, make: Maker) -> None:
    first = open_store()
    first.commit(make.batch("b1", make.document("old", "an old passage"), make.document("kept", "a kept one")))
    with pytest.MonkeyPatch.context() as patch:
        _cut_off(patch, TextIndex, "apply", after=False)
        with pytest.raises(Kill):
            first.commit(make.batch("b2", remove=("old",)))
    first.close()
    assert open_store(create=False).has_batch("b1")


def test_a_batch_that_the_table_lost_is_not_taken_for_applied(open_store: Open, make: Maker) -> None:
    # A power cut can keep the file that was written last and lose the one before it.
    first = open_store()
    first.commit(make.batch("b1", make.document("d1", "a passage")))
    first.commit(make.batch("b2", make.document("d2", "another passage")))
    nothing, _ = new_rows("", [], first._words.next_key, first._texts)
    vectors = checked_vectors(make.batch(""), first.dimension, half=first._format.half)
    first._table.write(nothing | {"vector": vectors}, ["d2"])
    first.close()
    store = open_store(create=False)
    assert not store.has_batch("b2")
    assert store.has_batch("b1")


def test_a_cut_off_repair_goes_on_where_it_was(open_store: Open, make: Maker, tmp_path: Path) -> None:
    first = open_store()
    for n in range(3):
        first.commit(make.batch(f"b{n}", make.document(f"d{n}", f"passage {n}")))
    first.commit(make.batch("many", *[make.document(f"m{n}", f"passage m{n}") for n in range(450)]))
    first.close()
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / "store" / f"text.db{suffix}").unlink(missing_ok=True)

    calls = []
    real = TextIndex.apply

    def second_is_cut(self: TextIndex, *args: object, **kwargs: object) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise Kill
        real(self, *args, **kwargs)

    cut = open_store(create=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TextIndex, "apply", second_is_cut)
        with pytest.raises(Kill):
            cut.has_batch("many")
    cut.close()
    store = open_store(create=False)
    assert store.has_batch("many")
    assert store.has_batch("b1")
    assert store.check().unindexed == 0
    assert store.count() == 453


@pytest.mark.parametrize("mode", ["text", "hybrid"])
def test_a_deleted_text_index_is_made_again_by_the_first_search(
    open_store: Open, make: Maker, tmp_path: Path, mode: str
) -> None:
    first = open_store()
    first.commit(make.batch("b1", make.document("d1", "a herring gull"), make.document("d2", "a trawler")))
    sizes = first.sizes()
    first.close()
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / "store" / f"text.db{suffix}").unlink(missing_ok=True)
    store = open_store(create=False)
    hits = store.search("herring", make.vector("herring"), k=1, mode=mode, exact=False)
    assert hits[0].document == "d1"
    assert store.sizes()["text_bytes"] == sizes["text_bytes"]
    store.commit(make.batch("b2", make.document("d3", "a second herring")))
    assert _state(store) == ({"d1": 1, "d2": 1, "d3": 1}, 0, 0, ())


def test_check_sees_differences_in_both_directions(open_store: Open, make: Maker) -> None:
    store = open_store()
    store.commit(make.batch("b1", make.document("d1", "one", "two"), make.document("d2", "three")))
    words = store._words
    words.apply([text_rows.IndexedDocument("ghost", 50, ("boo",), 3, "b9")], ["d1"], batches=[], version=None)
    check = store.check()
    assert check.unindexed == 3
    assert sum("lacks" in line for line in check.details) == 2
    assert sum("not stored" in line for line in check.details) == 1


def test_check_sees_duplicates_and_damaged_texts(open_store: Open, make: Maker) -> None:
    store = open_store()
    store.commit(make.batch("b1", make.document("d1", "one")))
    columns, _ = new_rows("b2", [make.document("d1", "one")], store._words.next_key, store._texts)
    store._table.write(columns | {"vector": make.batch("", make.document("d1", "one")).vectors}, [])
    columns, _ = new_rows("b3", [make.document("d9", "one")], store._words.next_key, store._texts)
    columns["text_z"] = [b"no frame"]
    store._table.write(columns | {"vector": make.batch("", make.document("d1", "one")).vectors}, [])
    check = store.check()
    assert check.duplicates >= 1
    assert any("damaged" in line for line in check.details)


@pytest.mark.parametrize("number", [np.inf, 0.0], ids=["endless", "a page of zeros"])
def test_check_sees_a_vector_that_nothing_can_be_compared_with(open_store: Open, make: Maker, number: float) -> None:
    store = open_store()
    store.commit(make.batch("b1", make.document("d1", "one", "two")))
    columns, indexed = new_rows("b2", [make.document("d2", "one", "two")], store._words.next_key, store._texts)
    vectors = np.stack([make.vector("one"), make.vector("two")])
    vectors[1] = number
    version = store._table.write(columns | {"vector": vectors}, [])
    store._words.apply(indexed, [], batches=["b2"], version=version)
    check = store.check()
    assert (check.damaged, check.passages, check.unindexed) == ({"d2"}, {"d1": 2, "d2": 2}, 0)
    assert check.details == ("passage 1 of document d2: its vector is missing, or holds what is no number",)


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32()])
def test_a_vector_that_is_missing_cannot_be_used(kind: pa.DataType) -> None:
    rows = [[1, 2], None, [3, None], [4, np.nan], [0, 1]]
    column = pa.array(rows, pa.list_(pa.float32(), 2)).cast(pa.list_(kind, 2))
    assert usable(column).tolist() == [True, False, False, False, True]
    assert usable(column[2:]).tolist() == [False, False, True]


def test_a_store_of_vectors_of_another_length_is_not_called_whole(open_store: Open, make: Maker) -> None:
    store = open_store()
    store.commit(make.batch("b1", make.document("d1", "one")))
    store.close()
    write_format(store.path, StoreFormat("bag", make.dimension * 2))
    with pytest.raises(UnreadableStoreError, match="have 32 numbers, its embedder's have 64"):
        open_store(dimension=make.dimension * 2).check()


def test_words_are_made_again_beside_a_text_that_cannot_be_read(open_store: Open, make: Maker) -> None:
    store = open_store()
    store.commit(make.batch("b1", make.document("d1", "one whole text")))
    columns, _ = new_rows("b2", [make.document("d2", "one")], store._words.next_key, store._texts)
    columns["text_z"] = [b"no frame"]
    store._table.write(columns | {"vector": make.vector("one")[None]}, [])
    store.close()
    store._words._path.unlink()
    assert [hit.document for hit in store.search("whole", None, k=5, mode="text")] == ["d1"]
    assert (store.check().damaged, store.check().unindexed) == ({"d2"}, 0)


@pytest.mark.parametrize("damage", ["gone", "of zeros", "cut off"])
def test_texts_whose_dictionary_is_damaged_are_told_and_can_be_stored_again(
    open_store: Open, make: Maker, damage: str
) -> None:
    store = open_store()
    documents = python_documents(make, 60)
    store.commit(make.batch("b1", *documents))
    store.close()
    (dictionary,) = (store.path / "dictionaries").iterdir()
    if damage == "gone":
        dictionary.unlink()
    else:
        dictionary.write_bytes(bytes(300) if damage == "of zeros" else dictionary.read_bytes()[:50])
    again = open_store()
    lost = again.check().damaged
    assert lost
    again.commit(make.batch("b2", remove=tuple(lost)))
    again.commit(make.batch("b3", *documents))
    assert dict(again.check().passages) == {document.id: len(document.passages) for document in documents}
    assert again.check().damaged == set()


@pytest.mark.parametrize("damage", ["cut off", "a page of zeros", "gone"])
def test_a_vector_index_that_is_damaged_is_told_and_dropped(open_store: Open, make: Maker, damage: str) -> None:
    store = open_store()
    documents = python_documents(make, 40)
    store.commit(make.batch("b1", *documents))
    store._table.build_index()
    store._synchronise()
    assert store.check().unindexed == 0
    store.close()
    for file in (store.path / "passages.lance/_indices").rglob("*.idx"):
        if damage == "gone":
            file.unlink()
        else:
            file.write_bytes(bytes(file.stat().st_size) if damage[0] == "a" else file.read_bytes()[:100])
    again, vector = open_store(), make.vector("statement")
    with pytest.raises(UnreadableStoreError, match="cannot read the store"):
        again.search("", vector, k=5, mode="vector")
    check = again.check()
    assert check.unindexed == sum(check.passages.values())
    assert check.details[0].startswith("the vector index cannot be searched: ")
    again.reindex()
    assert again.check().unindexed == 0
    assert len(again.search("", vector, k=5, mode="vector")) >= 5
    assert again.compact()[0] == again.count()


_WRITER = """
import sys
from pathlib import Path
import numpy as np
from tenire.protocols import Batch, Document, Passage, SourceFile
from tenire.vectors.store import LanceStore

store = LanceStore(Path(sys.argv[1]), dimension=8, embedder="e")
for n in range(int(sys.argv[2]), 100_000):
    text = f"passage of number{n} " * 30
    file = SourceFile(f"/{n}", 1, 1)
    document = Document(f"d{n}", file, "", "", 1, tuple(Passage(i, 0, 1, f"{text}{i}") for i in range(40)))
    print("begin", n, flush=True)
    remove = (f"d{n - 3}",) if n % 3 == 0 else ()
    store.commit(Batch(f"b{n}", (document,), np.ones((40, 8), np.float32), remove))
    print("done", n, flush=True)
"""


@pytest.mark.slow
def test_a_killed_writer_leaves_exactly_what_it_committed(open_store: Open, tmp_path: Path) -> None:
    next_batch, last = 0, -1
    for kill_after in (3, 6, 11):
        process = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path / "store"), str(next_batch)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        with process.stdout:
            begun = done = next_batch - 1
            for line in process.stdout:
                word, number = line.split()
                if word == "begin":
                    begun = int(number)
                    if begun - next_batch == kill_after:
                        process.kill()
                else:
                    done = int(number)
        process.wait()
        store = open_store(dimension=8, embedder="e")
        for n in range(done + 1):
            assert store.has_batch(f"b{n}")
        last = begun if store.has_batch(f"b{begun}") else done
        present = {f"d{n}" for n in range(last + 1)} - {f"d{n - 3}" for n in range(0, last + 1, 3)}
        check = store.check()
        assert dict(check.passages) == dict.fromkeys(present, 40)
        assert (check.duplicates, check.unindexed, check.details) == (0, 0, ())
        store.close()
        next_batch = last + 1
    assert last >= 15

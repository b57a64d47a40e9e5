"""Who stands for whom: the first one, as long as it is the whole of a source that stays."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tenire.core.near_duplicates import BANDS, ROWS, pack
from tenire.pipeline.journal import Journal
from tenire.pipeline.near_duplicates import represented, stand_ins
from tenire.protocols import Findings
from tenire.storage.records import SourceState

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tenire.protocols import Document
    from tenire.storage.ledger import Ledger
    from tenire.storage.records import Run

    from .conftest import MemoryStore

VALUES = BANDS * ROWS


def mark(*, differs: int = 0, family: int = 0) -> bytes:
    """A signature; those of one family share their bands, and differ in so many values."""
    values = [family] * (VALUES - differs) + [differs + 1] * differs
    return pack(500, tuple(range(family, family + BANDS)), b"".join(value.to_bytes(2, "little") for value in values))


@pytest.fixture
def near(document: Callable[..., Document]) -> Callable[..., Document]:
    def make(path: str, text: str, **of_mark: int) -> Document:
        return replace(document(path, text), findings=Findings(signature=mark(**of_mark)))

    return make


@pytest.fixture
def journal(ledger: Ledger, store: MemoryStore) -> Journal:
    return Journal(ledger, store)


def decided(ledger: Ledger, run: Run, *documents: Document) -> dict[str, Any]:
    changing = {document.file.path for document in documents}
    return stand_ins(run, documents, ledger.near, threshold=0.9, changing=changing)


def commit(journal: Journal, run: Run, vectors: Any, *documents: Document, removed: tuple[str, ...] = ()) -> None:
    new = journal.absent(documents)
    fresh = [document for document in new if document.findings.similarity == 1]
    linked = [document for document in documents if document not in fresh]
    result = journal.commit(run, fresh, vectors(*fresh), linked=linked, removed=removed)
    assert result.unlinked == ()


def test_the_first_of_a_group_stands_for_the_others(ledger: Ledger, near: Callable[..., Document]) -> None:
    run = ledger.runs.start("p", recipe="r")
    first, second, other = near("/a", "a b"), near("/b", "a c", differs=10), near("/c", "x", family=70)
    found = decided(ledger, run, first, second, other)
    assert found.keys() == {second.id}
    assert found[second.id][0] == first.id
    shown = represented(second, found)
    assert (shown.id, shown.file, shown.passages) == (first.id, second.file, second.passages)
    assert 0.9 <= shown.findings.similarity < 1
    assert represented(first, found) is first


def test_equal_words_in_another_file_are_no_equal_file(ledger: Ledger, near: Callable[..., Document]) -> None:
    run = ledger.runs.start("p", recipe="r")
    found = decided(ledger, run, near("/a", "a b"), near("/b", "b a"))
    assert [similarity < 1 for _, similarity in found.values()] == [True]


def test_what_is_below_the_threshold_is_a_document_of_its_own(ledger: Ledger, near: Callable[..., Document]) -> None:
    run = ledger.runs.start("p", recipe="r")
    assert decided(ledger, run, near("/a", "a"), near("/b", "b", differs=60)) == {}


def test_a_stored_document_stands_for_new_ones_of_its_pipeline_and_recipe(
    ledger: Ledger, journal: Journal, near: Callable[..., Document], vectors: Any
) -> None:
    run = ledger.runs.start("p", recipe="r")
    first, second = near("/a", "a b"), near("/b", "a c", differs=10)
    commit(journal, run, vectors, first)
    assert decided(ledger, run, second).keys() == {second.id}
    assert decided(ledger, ledger.runs.start("q", recipe="r"), second) == {}
    assert decided(ledger, ledger.runs.start("p", recipe="r2"), second) == {}
    assert decided(ledger, run, near("/a", "a c", differs=10)) == {}  # itself, edited


def test_the_most_similar_one_stands_for_it(
    ledger: Ledger, journal: Journal, near: Callable[..., Document], vectors: Any
) -> None:
    run = ledger.runs.start("p", recipe="r")
    far, close = near("/a", "a", differs=40), near("/b", "b", differs=2)
    commit(journal, run, vectors, far, close)
    document = near("/c", "c")
    assert decided(ledger, run, document)[document.id][0] == close.id


def test_copies_are_done_again_when_nothing_whole_is_left(
    ledger: Ledger, journal: Journal, store: MemoryStore, near: Callable[..., Document], vectors: Any
) -> None:
    run = ledger.runs.start("p", recipe="r")
    first, twin, copy = near("/a", "a b"), near("/twin", "a b"), near("/b", "a c", differs=10)
    commit(journal, run, vectors, first, twin)
    shown = represented(copy, decided(ledger, run, copy))
    commit(journal, run, vectors, shown)
    assert len(store.rows) == 2

    def row(path: str) -> Any:
        return ledger.sources.known(run, [replace(copy.file, path=path)])[path]

    commit(journal, run, vectors, removed=("/a",))
    assert row("/b").recipe == "r"  # its twin is still there
    commit(journal, run, vectors, removed=("/twin",))
    assert row("/b").recipe == ""
    assert (row("/b").state, row("/b").document) == (SourceState.DONE, first.id)
    assert len(store.rows) == 2  # it can still be found
    assert decided(ledger, run, copy, near("/c", "a d", differs=4)).keys() == {near("/c", "a d").id}
    commit(journal, run, vectors, copy)
    assert {document for document, _, _ in store.rows} == {copy.id}
    assert ledger.sources.documents([first.id]) == {}
    with ledger.snapshot() as connection:
        left = connection.execute("SELECT count(*) FROM near_bands").fetchone()  # type: ignore[attr-defined]
    assert left == (BANDS,)


def test_an_intent_keeps_signatures_and_what_is_to_be_done_again(
    ledger: Ledger, journal: Journal, store: MemoryStore, near: Callable[..., Document], vectors: Any
) -> None:
    run = ledger.runs.start("p", recipe="r")
    first, copy = near("/a", "a b"), near("/b", "a c", differs=10)
    store.crash_at = "after commit"
    with pytest.raises(store.crash):
        commit(journal, run, vectors, first)
    (intent,) = ledger.batches.pending()
    assert intent.change.signatures == {first.id: first.findings.signature}
    recovered = Journal(ledger, store)
    recovered.recover()
    commit(recovered, run, vectors, represented(copy, decided(ledger, run, copy)))
    store.crash_at = "after commit"
    other = near("/a", "x y", family=70)
    with pytest.raises(store.crash):
        commit(recovered, run, vectors, other)
    (intent,) = ledger.batches.pending()
    assert intent.change.redo == ("/b",)

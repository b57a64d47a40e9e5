from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tenire.errors import InternalError, StoreError
from tenire.pipeline.journal import Journal
from tenire.pipeline.verify import verify
from tenire.protocols import Rejection, SourceFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.pipeline.journal import Committed


@pytest.fixture
def journal(ledger: Any, store: Any) -> Journal:
    return Journal(ledger, store)


@pytest.fixture
def ingest(journal: Journal, ledger: Any, document: Any, vectors: Any) -> Callable[..., Committed]:
    """Commit the files of one pipeline as a run would: absent ones embedded, the others linked."""

    def ingest(files: dict[str, str], *, pipeline: str = "p", removed: tuple[str, ...] = ()) -> Committed:
        documents = [document(path, text) for path, text in files.items()]
        new = {item.id for item in journal.absent(documents)}
        embedded = [item for item in documents if item.id in new]
        linked = [item for item in documents if item.id not in new]
        run = ledger.runs.start(pipeline, recipe="r")
        return journal.commit(run, embedded, vectors(*embedded), linked=linked, removed=removed)

    return ingest


def rejection(path: str) -> Rejection:
    return Rejection(SourceFile(path, 1, 1), "validate", "bad", "h")


def texts(store: Any) -> dict[str, int]:
    return dict(store.check().passages)


def test_a_new_document_is_stored_and_counted(ingest: Any, ledger: Any, store: Any, document: Any) -> None:
    result = ingest({"/a": "one two", "/b": "three"})
    assert (result.done, result.added, result.chunks, result.unlinked) == (2, 2, 3, ())
    assert texts(store) == {document("", "one two").id: 2, document("", "three").id: 1}
    assert ledger.totals().documents == 2
    assert ledger.batches.pending() == []


def test_copies_share_one_document_whatever_their_pipeline(ingest: Any, ledger: Any, store: Any, document: Any) -> None:
    ingest({"/a": "one two", "/b": "one two"})
    result = ingest({"/c": "one two"}, pipeline="q")
    assert (result.done, result.added, result.chunks) == (1, 0, 0)
    assert texts(store) == {document("", "one two").id: 2}
    assert len(store.commits) == 1
    assert ledger.sources.sources_of([document("", "one two").id]) == {document("", "one two").id: ["/a", "/b", "/c"]}


def test_a_document_leaves_with_its_last_source_only(ingest: Any, store: Any, ledger: Any, document: Any) -> None:
    ingest({"/a": "one", "/b": "one"})
    ingest({"/a": "one"}, pipeline="q")
    assert ingest({}, removed=("/a",)).dropped == 0
    assert ingest({}, pipeline="q", removed=("/a",)).dropped == 0
    assert texts(store) == {document("", "one").id: 1}
    result = ingest({}, removed=("/b", "/never known"))
    assert (result.removed, result.dropped) == (1, 1)
    assert texts(store) == {}
    assert ledger.totals().unique_documents == 0


def test_a_changed_file_replaces_its_document_in_one_commit(ingest: Any, store: Any, document: Any) -> None:
    ingest({"/a": "old"})
    result = ingest({"/a": "new words"})
    assert (result.added, result.dropped, len(store.commits)) == (1, 1, 2)
    assert store.commits[1].remove == (document("", "old").id,)
    assert texts(store) == {document("", "new words").id: 2}


def test_two_files_that_swap_their_contents_move_nothing(ingest: Any, store: Any) -> None:
    ingest({"/a": "one", "/b": "two"})
    result = ingest({"/a": "two", "/b": "one"})
    assert (result.done, result.added, result.dropped, len(store.commits)) == (2, 0, 0, 1)


def test_a_moved_file_keeps_its_document(ingest: Any, store: Any, ledger: Any) -> None:
    ingest({"/a": "one"})
    result = ingest({"/moved": "one"}, removed=("/a",))
    assert (result.added, result.dropped, result.removed, len(store.commits)) == (0, 0, 1, 1)
    assert ledger.totals().documents == 1


def test_a_changed_file_that_cannot_be_used_any_more_leaves_the_store(
    ingest: Any, journal: Journal, ledger: Any, store: Any
) -> None:
    ingest({"/a": "one", "/b": "two"})
    result = journal.commit(ledger.runs.start("p"), rejections=[rejection("/a")])
    assert (result.rejected, result.dropped) == (1, 1)
    assert len(store.rows) == 1
    assert [entry.source for entry in ledger.quarantine.entries()] == ["/a"]
    ingest({"/a": "one"})
    assert ledger.quarantine.entries() == []


def test_a_first_rejection_does_not_trouble_the_store(journal: Journal, ledger: Any, store: Any) -> None:
    journal.commit(ledger.runs.start("p"), rejections=[rejection("/a")])
    assert store.commits == []
    assert ledger.quarantine.count() == 1


def test_a_file_without_text_is_done_and_not_in_the_store(
    ingest: Any, ledger: Any, store: Any, journal: Journal, document: Any
) -> None:
    assert journal.absent([document("/empty", "")]) == []
    result = ingest({"/empty": ""})
    assert (result.done, result.chunks, store.commits) == (1, 0, [])
    assert ledger.totals().documents == 1
    assert verify(ledger, store).ok


def test_the_store_gets_only_the_vectors_it_lacks_each_with_its_passage(
    journal: Journal, ledger: Any, store: Any, document: Any, vectors: Any
) -> None:
    known, first, second = document("/a", "one two"), document("/b", "three"), document("/c", "four five")
    run = ledger.runs.start("p")
    journal.commit(run, [known], vectors(known))
    # Embedded for nothing: another pipeline was quicker, and one file has a copy in the same batch.
    again, copy = document("/d", "one two"), document("/e", "three")
    batch = [first, again, copy, second]
    result = journal.commit(run, batch, vectors(*batch))
    assert (result.done, result.added, result.chunks) == (4, 2, 3)
    assert [item.id for item in store.commits[1].documents] == [first.id, second.id]
    assert (store.commits[1].vectors == vectors(first, second)).all()


def test_the_array_goes_through_without_a_copy_when_everything_is_new(
    journal: Journal, ledger: Any, store: Any, document: Any, vectors: Any
) -> None:
    batch = [document("/a", "one two"), document("/b", "three")]
    rows = vectors(*batch)
    journal.commit(ledger.runs.start("p"), batch, rows)
    assert store.commits[0].vectors is rows


def test_absent_documents_are_told_once_in_order(journal: Journal, ingest: Any, document: Any) -> None:
    ingest({"/known": "one"})
    documents = [document("/b", "two"), document("/c", "one"), document("/d", "two"), document("/a", "three")]
    assert [item.file.path for item in journal.absent(documents)] == ["/d", "/a"]


def test_a_linked_document_that_left_meanwhile_comes_back_and_nothing_is_done_for_it(
    journal: Journal, ingest: Any, ledger: Any, document: Any, vectors: Any, store: Any
) -> None:
    ingest({"/a": "one"})
    copy = document("/b", "one")
    assert journal.absent([copy]) == []
    ingest({}, removed=("/a",))
    run = ledger.runs.start("q")
    result = journal.commit(run, linked=[copy, document("/empty", "")])
    assert (result.done, result.unlinked) == (1, (copy,))
    assert ledger.sources.documents_of("q", ["/b"]) == {}
    assert journal.commit(run, [copy], vectors(copy)).added == 1
    assert verify(ledger, store).ok


def test_the_last_word_on_a_path_counts(journal: Journal, ledger: Any, store: Any, document: Any, vectors: Any) -> None:
    first, second = document("/a", "one"), document("/a", "two")
    run = ledger.runs.start("p")
    result = journal.commit(run, [first, second], vectors(first, second))
    assert (result.done, texts(store)) == (1, {second.id: 1})
    third = document("/a", "three")
    result = journal.commit(run, [third], vectors(third), rejections=[rejection("/a")], removed=["/b"])
    assert (result.done, result.rejected, result.added, result.removed) == (0, 1, 0, 0)
    result = journal.commit(run, [third], vectors(third), rejections=[rejection("/a")], removed=["/a"])
    assert (result.done, result.rejected, result.added, result.removed) == (0, 0, 0, 1)
    assert (texts(store), ledger.totals().quarantined) == ({}, 0)


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_a_wrong_number_of_vectors_is_refused_before_anything_happens(
    journal: Journal, ledger: Any, store: Any, document: Any, vectors: Any, rows: int
) -> None:
    array = vectors(document("", "x " * rows))
    with pytest.raises(InternalError, match=f"{rows} vectors for 2 passages"):
        journal.commit(ledger.runs.start("p"), [document("/a", "one two")], array)
    assert ledger.batches.pending() == store.commits == []


def test_the_intent_is_durable_before_the_store_commits_and_done_comes_after(
    journal: Journal, ledger: Any, store: Any, document: Any, vectors: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, seen = store.commit, []

    def look(batch: Any) -> None:
        commit(batch)
        synchronous = ledger._database._connection.execute("PRAGMA synchronous").fetchone()[0]
        seen.append((synchronous, [intent.id for intent in ledger.batches.pending()] == [batch.id]))
        seen.append(ledger.totals().documents)

    monkeypatch.setattr(store, "commit", look)
    journal.commit(ledger.runs.start("p"), [document("/a", "one")], vectors(document("/a", "one")))
    full = 2
    assert seen == [(full, True), 0]
    assert ledger.totals().documents == 1


@pytest.mark.parametrize("where", ["before commit", "after commit"])
def test_after_a_failed_commit_the_next_one_finds_out_what_became_of_it(
    journal: Journal, ledger: Any, store: Any, document: Any, vectors: Any, ingest: Any, where: str
) -> None:
    ingest({"/a": "one"})
    store.crash_at = where
    with pytest.raises(store.crash):
        ingest({"/a": "two"})
    assert len(ledger.batches.pending()) == 1
    ingest({"/b": "one"})
    assert ledger.batches.pending() == []
    assert verify(ledger, store).ok
    kept = {"/a": "two"} if where == "after commit" else {"/a": "one"}
    wanted = {document("", text).id: 1 for text in {**kept, "/b": "one"}.values()}
    assert texts(store) == wanted


def test_recovery_tells_what_it_found(
    journal: Journal, ledger: Any, store: Any, document: Any, vectors: Any, ingest: Any
) -> None:
    for number, where in enumerate(["after commit", "before commit"]):
        store.crash_at = where
        with pytest.raises(store.crash):
            ingest({f"/{number}": f"text{number}"})
        recovered = Journal(ledger, store).recover()
        assert (recovered.kept, recovered.dropped) == ((1, 0) if where == "after commit" else (0, 1))
    assert recovered.interrupted == 1
    assert ledger.totals().documents == 1


def test_a_removal_is_finished_even_if_the_store_cannot_tell_that_it_happened(
    ledger: Any, store: Any, ingest: Any
) -> None:
    store.remembers_removals = False
    ingest({"/a": "one"})
    store.crash_at = "after commit"
    with pytest.raises(store.crash):
        ingest({}, removed=("/a",))
    assert Journal(ledger, store).recover().kept == 1
    assert ledger.sources.documents_of("p", ["/a"]) == {}
    assert verify(ledger, store).ok


def test_an_error_of_the_store_reaches_the_caller_and_leaves_the_ledger_as_it_was(
    journal: Journal, ledger: Any, store: Any, ingest: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(batch: Any) -> None:
        raise StoreError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(store, "commit", fail)
        with pytest.raises(StoreError, match="no space left"):
            ingest({"/a": "one"})
    assert ledger.totals().documents == 0
    ingest({"/a": "one"})
    assert verify(ledger, store).ok

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from tenire.pipeline.journal import Journal
from tenire.pipeline.lister import Lister
from tenire.pipeline.repair import repair
from tenire.pipeline.verify import verify
from tenire.protocols import Rejection, SourceFile
from tenire.storage.records import Change

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.pipeline.journal import Committed
    from tenire.protocols import Document
    from tenire.storage.ledger import Ledger
    from tenire.storage.records import Run

    from .conftest import MemoryStore

ZIP = "/a.zip"
OLD = 1_000_000_000_000_000_001  # long before any run, so that no time is racy


@pytest.fixture
def journal(ledger: Any, store: Any) -> Journal:
    return Journal(ledger, store)


@pytest.fixture
def member(document: Callable[..., Document]) -> Callable[..., Document]:
    def make(name: str, text: str, container: str = ZIP) -> Document:
        made = document(f"{container}!/{name}", text, mtime_ns=OLD)
        return dataclasses.replace(made, file=dataclasses.replace(made.file, container=container))

    return make


@pytest.fixture
def box(document: Callable[..., Document]) -> Document:
    """The container itself: no passages."""
    return document(ZIP, "", size=9, mtime_ns=OLD)


def bad_member(name: str, container: str = ZIP) -> Rejection:
    return Rejection(SourceFile(f"{container}!/{name}", 1, OLD, container), "validate", "bad", "h")


@pytest.fixture
def commit(journal: Journal, ledger: Ledger, vectors: Any) -> Callable[..., Committed]:
    def commit(*documents: Document, run: Run | None = None, **changes: Any) -> Committed:
        absent = {item.id for item in journal.absent(documents)}
        embedded = [item for item in documents if item.id in absent]
        linked = [item for item in documents if item.id not in absent]
        run = run or ledger.runs.start("p", recipe="r")
        return journal.commit(run, embedded, vectors(*embedded), linked=linked, **changes)

    return commit


def sources(ledger: Ledger) -> set[str]:
    with ledger._database.reading() as connection:
        return {bytes(raw).decode() for (raw,) in connection.execute("SELECT source FROM sources")}


def listing(ledger: Ledger, *files: SourceFile, recipe: str = "r") -> tuple[Lister, Any]:
    lister = Lister(iter(files), ledger, ledger.runs.start("p", recipe=recipe))
    return lister, lister.next_chunk()


def test_a_container_counts_once_and_its_members_are_documents(
    commit: Any, ledger: Ledger, store: MemoryStore, member: Any, box: Document
) -> None:
    result = commit(member("x", "one two"), member("y", "three"), box)
    assert (result.done, result.added, result.chunks) == (1, 3, 3)
    assert ledger.totals().documents == 2
    report = verify(ledger, store)  # type: ignore[arg-type]
    assert (report.ok, report.documents, report.chunks) == (True, 2, 3)


def test_an_unchanged_container_keeps_its_members(commit: Any, ledger: Ledger, member: Any, box: Document) -> None:
    commit(member("x", "one"), box)
    lister, chunk = listing(ledger, SourceFile(ZIP, 9, OLD))
    assert (chunk.seen, chunk.unchanged, chunk.work) == (1, 1, [])
    assert list(lister.vanished(lambda _: True)) == []


def test_members_leave_with_their_container(
    commit: Any, ledger: Ledger, store: MemoryStore, member: Any, box: Document
) -> None:
    commit(member("x", "one"), member("y", "two"), box, rejections=[bad_member("z")])
    lister, _ = listing(ledger, SourceFile("/other", 1, OLD))
    assert list(lister.vanished(lambda path: path == ZIP)) == [[ZIP]]
    assert commit(removed=[ZIP]).removed == 1
    assert sources(ledger) == set()
    assert store.rows == []
    assert ledger.quarantine.count() == 0


def test_a_member_that_is_not_in_it_any_more_leaves_with_the_containers_word(
    commit: Any, ledger: Ledger, member: Any, box: Document, document: Any
) -> None:
    commit(member("x", "one"), member("y", "two"), box)
    run = ledger.runs.start("p", recipe="r")
    commit(member("x", "one"), run=run)
    assert f"{ZIP}!/y" in sources(ledger)
    result = commit(member("w", "new"), dataclasses.replace(box, content_hash="other"), run=run)
    assert (result.done, result.removed, result.dropped) == (1, 0, 1)
    assert sources(ledger) == {ZIP, f"{ZIP}!/x", f"{ZIP}!/w"}
    # It was replaced by a plain file of the same name.
    commit(document(ZIP, "plain words", mtime_ns=OLD))
    assert sources(ledger) == {ZIP}
    assert ledger.totals().documents == 1


@pytest.mark.parametrize("together", [True, False], ids=["in one commit", "in two commits"])
def test_a_bad_member_makes_its_container_count_as_quarantined(
    commit: Any, ledger: Ledger, member: Any, box: Document, *, together: bool
) -> None:
    run = ledger.runs.start("p", recipe="r")
    if together:
        result = commit(member("x", "one"), box, run=run, rejections=[bad_member("y")])
    else:
        first = commit(member("x", "one"), run=run, rejections=[bad_member("y")])
        assert (first.done, first.rejected) == (0, 0)
        result = commit(box, run=run)
    assert (result.done, result.rejected) == (0, 1)
    entries = ledger.quarantine.entries()
    assert [(entry.source, entry.container) for entry in entries] == [(f"{ZIP}!/y", ZIP)]
    _, chunk = listing(ledger, SourceFile(ZIP, 9, OLD))
    assert (chunk.quarantined, chunk.work) == (1, [])
    # Asking for the member again means its container.
    ledger.quarantine.retry([entries[0].id])
    _, chunk = listing(ledger, SourceFile(ZIP, 9, OLD))
    assert [work.file.path for work in chunk.work] == [ZIP]
    assert commit(member("x", "one"), member("y", "well again"), box).done == 1
    assert ledger.quarantine.count() == 0


def test_a_container_that_cannot_be_read_any_more_takes_its_members_along(
    commit: Any, ledger: Ledger, store: MemoryStore, member: Any, box: Document
) -> None:
    commit(member("x", "one"), box)
    result = commit(rejections=[Rejection(SourceFile(ZIP, 3, OLD), "read", "damaged", "h2")])
    assert (result.rejected, store.rows) == (1, [])
    assert sources(ledger) == {ZIP}
    assert [entry.source for entry in ledger.quarantine.entries()] == [ZIP]


def test_a_container_whose_run_was_killed_is_read_again(
    commit: Any, ledger: Ledger, store: MemoryStore, member: Any, box: Document
) -> None:
    commit(member("x", "one"))  # and then the run was killed, before the container's word
    lister, chunk = listing(ledger, SourceFile(ZIP, 9, OLD))
    assert [work.file.path for work in chunk.work] == [ZIP]
    assert list(lister.vanished(lambda _: True)) == [[ZIP]]  # true only of a container that has left
    assert commit(removed=[ZIP]).removed == 0
    assert (sources(ledger), store.rows) == (set(), [])


def test_a_container_waits_for_a_member_that_has_to_go_round_again(
    journal: Journal, ledger: Ledger, member: Any, box: Document, vectors: Any
) -> None:
    lost = member("x", "one")
    run = ledger.runs.start("p", recipe="r")
    # It was believed to be stored, but another pipeline has removed it in between.
    result = journal.commit(run, linked=[lost, box])
    assert (result.done, set(result.unlinked)) == (0, {lost, box})
    assert sources(ledger) == set()
    result = journal.commit(run, [lost], vectors(lost), linked=[box])
    assert (result.done, result.unlinked) == (1, ())


def test_a_repair_has_the_container_of_a_lost_member_read_again(
    commit: Any, ledger: Ledger, store: MemoryStore, member: Any, box: Document
) -> None:
    commit(member("x", "one"), member("y", "two"), box)
    store.rows = [row for row in store.rows if row[0] != member("x", "one").id]
    repair(ledger, store)  # type: ignore[arg-type]
    _, chunk = listing(ledger, SourceFile(ZIP, 9, OLD))
    assert [work.file.path for work in chunk.work] == [ZIP]
    commit(member("x", "one"), member("y", "two"), box)
    assert verify(ledger, store).ok  # type: ignore[arg-type]


def test_a_member_that_has_to_be_done_again_takes_its_container_along(
    commit: Any, ledger: Ledger, member: Any, box: Document
) -> None:
    commit(member("x", "one"), member("y", "two"), box)
    ledger.batches.apply(Change("p", redo=(f"{ZIP}!/x",)))
    _, chunk = listing(ledger, SourceFile(ZIP, 9, OLD))
    assert [work.file.path for work in chunk.work] == [ZIP]


def test_a_crash_in_the_middle_of_a_members_commit_is_settled(
    commit: Any, ledger: Ledger, store: MemoryStore, member: Any, box: Document
) -> None:
    store.crash_at = "after commit"
    with pytest.raises(store.crash):
        commit(member("x", "one"), box, rejections=[bad_member("y")])
    Journal(ledger, store).recover()  # type: ignore[arg-type]
    _, chunk = listing(ledger, SourceFile(ZIP, 9, OLD))
    assert (chunk.quarantined, len(sources(ledger))) == (1, 3)

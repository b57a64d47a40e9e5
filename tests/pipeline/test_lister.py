from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.pipeline.journal import Journal
from tenire.pipeline.lister import CHUNK, Lister
from tenire.pipeline.listing import Skipped
from tenire.protocols import Rejection, SourceFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.pipeline.listing import Listed
    from tenire.protocols import Document
    from tenire.storage.ledger import Ledger
    from tenire.storage.records import Run

    from .conftest import MemoryStore

OLD = 1_000_000_000_000_000_001  # long before any run, so that no time is racy


def file(path: str, size: int = 3, mtime_ns: int = OLD) -> SourceFile:
    return SourceFile(path, size, mtime_ns)


def lister(ledger: Ledger, items: list[Listed], recipe: str = "r") -> Lister:
    return Lister(iter(items), ledger, ledger.runs.start("p", recipe=recipe))


def stored(ledger: Ledger, store: MemoryStore, *documents: Document, rejections: tuple[Rejection, ...] = ()) -> Run:
    run = ledger.runs.start("p", recipe="r")
    journal = Journal(ledger, store)
    for document in documents:
        journal.commit(run, linked=[document])  # no passages: no vectors are needed
    journal.commit(run, rejections=rejections)
    return run


def test_a_long_source_is_pulled_a_chunk_at_a_time(ledger: Ledger) -> None:
    pulled = 0

    def walk() -> list[Listed]:
        nonlocal pulled
        for number in range(CHUNK + 3):
            pulled += 1
            yield file(f"/{number}")

    listing = Lister(walk(), ledger, ledger.runs.start("p", recipe="r"))
    assert pulled == 0
    first = listing.next_chunk()
    assert first is not None
    assert (len(first.work), first.seen, first.seen_bytes, pulled) == (CHUNK, CHUNK, 3 * CHUNK, CHUNK)
    second = listing.next_chunk()
    assert second is not None
    assert len(second.work) == 3
    assert listing.next_chunk() is None


def test_skipped_files_are_counted_apart(ledger: Ledger) -> None:
    chunk = lister(ledger, [Skipped("/a.png"), file("/b")]).next_chunk()
    assert chunk is not None
    assert (chunk.skipped, chunk.seen, len(chunk.work)) == (1, 1, 1)


def test_known_files_are_sorted_by_what_happened_to_them(
    ledger: Ledger, store: MemoryStore, document: Callable[..., Document]
) -> None:
    same, grown, moved = (document(path, "", mtime_ns=OLD, size=3) for path in ("/same", "/grown", "/moved"))
    bad = Rejection(file("/bad"), "validate", "no text", content_hash="h")
    stored(ledger, store, same, grown, moved, rejections=(bad,))
    listing = lister(ledger, [file("/same"), file("/grown", size=4), file("/moved", mtime_ns=OLD + 1), file("/bad")])
    chunk = listing.next_chunk()
    assert chunk is not None
    assert (chunk.seen, chunk.unchanged, chunk.quarantined, chunk.unchanged_bytes) == (4, 1, 1, 6)
    by_path = {work.file.path: work for work in chunk.work}
    assert set(by_path) == {"/grown", "/moved"}
    assert by_path["/grown"].known_hash is None
    assert by_path["/grown"].old_document == grown.id
    assert by_path["/moved"].known_hash == moved.content_hash
    assert by_path["/moved"].was_done


def test_an_entry_to_be_tried_again_is_work(ledger: Ledger, store: MemoryStore) -> None:
    bad = Rejection(file("/bad"), "validate", "no text", content_hash="h")
    stored(ledger, store, rejections=(bad,))
    ledger.quarantine.retry()
    chunk = lister(ledger, [file("/bad")]).next_chunk()
    assert chunk is not None
    assert [(work.known_hash, work.was_done) for work in chunk.work] == [(None, False)]


def test_a_refusal_of_the_source_is_told_once(ledger: Ledger, store: MemoryStore) -> None:
    loop = Rejection(file("/loop", size=0), "read", "the link leads back to itself")
    first = lister(ledger, [loop]).next_chunk()
    assert first is not None
    assert first.rejections == [loop]
    stored(ledger, store, rejections=(loop,))
    again = lister(ledger, [loop]).next_chunk()
    assert again is not None
    assert (again.rejections, again.quarantined) == ([], 1)


def test_what_was_not_listed_has_left_unless_its_directory_could_not_be_read(
    ledger: Ledger, store: MemoryStore, document: Callable[..., Document]
) -> None:
    paths = ("/here", "/gone", "/locked/deep/a", "/lockedness")
    stored(ledger, store, *(document(path, "", mtime_ns=OLD, size=3) for path in paths))
    refused = Rejection(file("/locked", size=0), "read", "the directory cannot be read")
    listing = lister(ledger, [file("/here"), refused])
    while listing.next_chunk() is not None:
        pass
    assert list(listing.vanished(lambda path: True)) == [["/gone", "/lockedness"]]
    assert list(listing.vanished(lambda path: path == "/gone")) == [["/gone"]]
    assert list(listing.vanished(lambda path: False)) == []

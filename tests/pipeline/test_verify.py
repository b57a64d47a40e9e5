from __future__ import annotations

from typing import Any

import pytest

from tenire.pipeline.journal import Journal
from tenire.pipeline.verify import verify
from tenire.protocols import StoreCheck


@pytest.fixture
def stored(ledger: Any, store: Any, document: Any, vectors: Any) -> dict[str, str]:
    """Two documents of two passages, one of them with a copy, and one without any."""
    journal = Journal(ledger, store)
    documents = [document("/a", "one two"), document("/b", "three four")]
    run = ledger.runs.start("p")
    journal.commit(run, documents, vectors(*documents), linked=[document("/copy", "one two"), document("/empty", "")])
    return {item.file.path: item.id for item in documents}


def test_what_agrees_is_ok_and_copies_count_as_documents(ledger: Any, store: Any, stored: Any) -> None:
    report = verify(ledger, store)
    assert report.ok
    assert report.as_json() == {
        "ok": True,
        "documents": 4,
        "chunks": 4,
        "missing": 0,
        "orphans": 0,
        "duplicates": 0,
    }
    assert report.details == ()


def test_a_passage_that_the_store_lacks_is_missing(ledger: Any, store: Any, stored: dict[str, str]) -> None:
    store.rows = [row for row in store.rows if row[:2] != (stored["/a"], 1)]
    report = verify(ledger, store)
    assert (report.ok, report.missing, report.orphans, report.duplicates) == (False, 1, 0, 0)
    assert stored["/a"] in report.details[0]


def test_an_empty_store_misses_everything(ledger: Any, store: Any, stored: Any) -> None:
    store.rows = []
    report = verify(ledger, store)
    assert (report.ok, report.chunks, report.missing) == (False, 0, 4)


def test_passages_of_unknown_documents_are_orphans(ledger: Any, store: Any, stored: Any) -> None:
    store.rows += [("dead", 0, 0.0), ("dead", 1, 0.0)]
    report = verify(ledger, store)
    assert (report.ok, report.missing, report.orphans, report.duplicates) == (False, 0, 2, 0)


def test_a_passage_too_many_of_a_known_document_is_an_orphan(ledger: Any, store: Any, stored: dict[str, str]) -> None:
    store.rows.append((stored["/a"], 2, 0.0))
    report = verify(ledger, store)
    assert (report.ok, report.missing, report.orphans, report.duplicates) == (False, 0, 1, 0)


def test_a_passage_stored_twice_is_a_duplicate_and_no_orphan(ledger: Any, store: Any, stored: dict[str, str]) -> None:
    store.rows.append((stored["/a"], 1, 0.0))
    report = verify(ledger, store)
    assert (report.ok, report.missing, report.orphans, report.duplicates) == (False, 0, 0, 1)


def test_a_document_whose_last_source_is_gone_is_an_orphan(ledger: Any, store: Any, stored: dict[str, str]) -> None:
    with ledger._database.writing() as connection:
        connection.execute("DELETE FROM sources WHERE document = ?", (stored["/b"],))
    assert verify(ledger, store).orphans == 2


def test_a_text_index_that_differs_is_not_ok(
    ledger: Any, store: Any, stored: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = store.check()
    monkeypatch.setattr(store, "check", lambda: StoreCheck(check.passages, 0, unindexed=1, details=("index: 1",)))
    report = verify(ledger, store)
    assert (report.ok, report.unindexed, report.details) == (False, 1, ("index: 1",))


@pytest.mark.parametrize("where", ["before commit", "after commit"])
def test_an_interrupted_batch_is_pending_and_neither_missing_nor_orphaned(
    ledger: Any, store: Any, stored: Any, document: Any, vectors: Any, where: str
) -> None:
    changed = document("/b", "five six seven")
    store.crash_at = where
    with pytest.raises(store.crash):
        Journal(ledger, store).commit(ledger.runs.start("p"), [changed], vectors(changed))
    report = verify(ledger, store)
    assert (report.ok, report.pending, report.missing, report.orphans) == (True, 1, 0, 0)
    assert "interrupted" in report.details[0]
    Journal(ledger, store).recover()
    assert verify(ledger, store).pending == 0

"""What was filtered stays known, with its reason, as long as its document does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tenire.storage.filtered import FilteredSource
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger
from tenire.storage.records import Change, DocumentRow, DoneSource, Intent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(Home(tmp_path / "home")) as opened:
        yield opened


def done(path: str, document: str) -> DoneSource:
    return DoneSource(path, 1, 1, "h", document, racy=False)


def test_each_source_of_a_filtered_document_is_listed_until_the_document_leaves(ledger: Ledger) -> None:
    row = DocumentRow("d1", 0, 0, "", filtered="min_words", reason="expected at least 50 words, got 3")
    change = Change(
        "p", done=(done("/b", "d1"), done("/a\udcff", "d1"), done("/c", "d2")), add=(row, DocumentRow("d2", 0, 0, ""))
    )
    intent = Intent("i1", change)
    ledger.batches.open(intent)
    assert [found.change for found in ledger.batches.pending()] == [change]
    ledger.batches.settle(intent)
    expected = [FilteredSource("p", path, "min_words", row.reason) for path in ("/a\udcff", "/b")]
    assert sorted(ledger.filtered.entries()) == sorted(expected)
    assert ledger.filtered.entries("q") == []
    ledger.batches.apply(Change("p", removed=("/b", "/a\udcff"), drop=("d1",)))
    assert ledger.filtered.entries() == []


def test_a_ledger_of_an_older_version_has_nothing_filtered(ledger: Ledger, tmp_path: Path) -> None:
    with ledger._database.writing() as connection:
        connection.execute("DROP TABLE filtered")
    with Ledger.read(Home(tmp_path / "home")) as reader:
        assert reader.filtered.entries() == []

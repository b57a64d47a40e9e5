from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tenire.protocols import About
from tenire.storage.abouts import KnownDocument, as_text, from_text
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger
from tenire.storage.records import Change, DocumentRow, DoneSource, Intent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAIL = About(kind="email", language="en", author="Ann", date="2024-05", extra=(("to", "Bob"), ("cc", "\ud800")))
ADD = (DocumentRow("d1", 1, 2, "A letter", MAIL), DocumentRow("d2", 1, 2, ""))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(Home(tmp_path / "home")) as ledger:
        yield ledger


def done(path: str, document: str) -> DoneSource:
    return DoneSource(path, 1, 1, "h", document, False)


def test_facts_come_back_and_unknown_ones_are_passed_over() -> None:
    assert from_text(as_text(About())) == About()
    assert from_text(as_text(MAIL)).extra == (("to", "Bob"), ("cc", "?"))
    assert from_text('{"kind": "pdf", "mood": "sad"}') == About(kind="pdf")
    assert from_text("{}") == About()


def test_what_is_known_is_kept_through_an_intent_and_goes_with_its_document(ledger: Ledger) -> None:
    intent = Intent("b1", Change("p", done=(done("/a\udcff", "d1"), done("/b", "d1"), done("/c", "d2")), add=ADD))
    ledger.batches.open(intent)
    (pending,) = ledger.batches.pending()
    ledger.batches.settle(pending)
    kept = from_text(as_text(MAIL))
    first = [KnownDocument("d1", path, "A letter", kept) for path in ("/a\udcff", "/b")]
    assert sorted(ledger.abouts.all()) == [*first, KnownDocument("d2", "/c", "", About())]
    assert ledger.abouts.of(["d1", "unknown"]) == first
    ledger.batches.apply(Change("p", removed=("/a\udcff", "/b"), drop=("d1",)))
    with ledger._database.reading() as connection:
        assert connection.execute("SELECT count(*) FROM abouts").fetchone() == (0,)


def test_an_intent_of_an_older_version_is_settled(ledger: Ledger) -> None:
    ledger.batches.open(Intent("b1", Change("p", done=(done("/a", "d1"),), add=(ADD[0],))))
    with ledger._database.writing() as connection:
        (text,) = connection.execute("SELECT change FROM batches").fetchone()
        older = text.replace(f', {json.dumps(as_text(MAIL))}, "", ""]', "]")
        assert older != text
        connection.execute("UPDATE batches SET change = ?", (older,))
    (pending,) = ledger.batches.pending()
    assert pending.change.add == (DocumentRow("d1", 1, 2, "A letter"),)


def test_a_ledger_without_the_table_says_what_it_knows(ledger: Ledger, tmp_path: Path) -> None:
    ledger.batches.apply(Change("p", done=(done("/a", "d1"),), add=(ADD[0],)))
    with ledger._database.writing() as connection:
        connection.execute("DROP TABLE abouts")
    with Ledger.read(Home(tmp_path / "home")) as older:
        assert older.abouts.of(["d1"]) == [KnownDocument("d1", "/a", "A letter", About())]
    Ledger.open(Home(tmp_path / "home")).close()
    with Ledger.read(Home(tmp_path / "home")) as now:
        assert now.abouts.of(["d1"]) == [KnownDocument("d1", "/a", "A letter", About())]


def test_a_change_by_another_connection_is_noticed(ledger: Ledger, tmp_path: Path) -> None:
    with Ledger.read(Home(tmp_path / "home")) as reader:
        before = reader.abouts.version()
        assert reader.abouts.version() == before
        ledger.batches.apply(Change("p", done=(done("/c", "d2"),), add=(ADD[1],)))
        assert reader.abouts.version() != before

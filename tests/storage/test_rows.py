from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from tenire.storage.home import Home
from tenire.storage.ledger import Ledger
from tenire.storage.records import SourceState
from tenire.storage.rows import AnsweredRow, RefusedRow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def ledger(home: Home) -> Iterator[Ledger]:
    with Ledger.open(home) as opened:
        yield opened


def answered(key: str, request: str = "r") -> AnsweredRow:
    return AnsweredRow(key, f"/f#{key}", request, f"{key}\n".encode())


def refused(key: str, source: str | None = None, attempts: int = 1) -> RefusedRow:
    return RefusedRow(key, source or f"/f#{key}", "r", "call", "no", attempts)


def test_answers_and_refusals_are_known_afterwards(ledger: Ledger) -> None:
    run = ledger.runs.start("p")
    ledger.rows.apply(run, [answered("a")], [refused("b")])
    known = ledger.rows.known("p", ["a", "b", "c"])
    assert {key: (row.state, row.source, row.request) for key, row in known.items()} == {
        "a": (SourceState.DONE, "/f#a", "r"),
        "b": (SourceState.QUARANTINED, "/f#b", "r"),
    }
    assert ledger.rows.known("other", ["a"]) == {}
    assert list(ledger.rows.lines("p")) == [b"a\n"]
    assert ledger.rows.count("p") == 1


def test_an_entry_of_the_quarantine_goes_with_its_row_also_if_that_moved(ledger: Ledger) -> None:
    run = ledger.runs.start("p")
    ledger.rows.apply(run, [], [refused("a", attempts=2), refused("b")])
    ledger.rows.apply(run, [], [refused("a", attempts=3)])
    assert [(entry.source, entry.attempts) for entry in ledger.quarantine.entries()] == [("/f#a", 5), ("/f#b", 1)]
    ledger.rows.apply(run, [], [refused("a", "/g#a")])
    assert [entry.source for entry in ledger.quarantine.entries()] == ["/f#b", "/g#a"]
    ledger.rows.apply(run, [answered("a")], [])
    assert [entry.source for entry in ledger.quarantine.entries()] == ["/f#b"]


def test_entries_of_rows_are_tried_again_when_told_to(ledger: Ledger) -> None:
    run = ledger.runs.start("p")
    ledger.rows.apply(run, [], [refused("a"), refused("b")])
    first = ledger.quarantine.entries()[0]
    assert not first.retrying
    assert [entry.id for entry in ledger.quarantine.retry([first.id])] == [first.id]
    assert [entry.retrying for entry in ledger.quarantine.entries()] == [True, False]
    states = {key: row.state for key, row in ledger.rows.known("p", ["a", "b"]).items()}
    assert states == {"a": SourceState.RETRY, "b": SourceState.QUARANTINED}


def test_rows_come_in_the_order_in_which_a_run_listed_them(ledger: Ledger) -> None:
    run, other = ledger.runs.start("p"), ledger.runs.start("q")
    ledger.rows.apply(run, [answered(key) for key in "abcd"], [refused("e")])
    ledger.rows.apply(other, [answered("a")], [])
    assert ledger.rows.list(run, ["c", "a"], place=0) == [1, 1]
    assert ledger.rows.list(run, ["c", "e", "d"], place=2) == [2, 1, 1]
    assert ledger.rows.list(run, ["c"], place=5) == [3]
    assert ledger.rows.list(other, ["a"], place=0) == [1]
    assert list(ledger.rows.lines_in_order(run, at_once=2)) == [b"c\n", b"a\n", b"d\n"]
    assert list(ledger.rows.lines_not_listed(run, at_once=1)) == [b"b\n"]
    assert not list(ledger.rows.lines_not_listed(other))


def test_rows_that_were_not_listed_leave_with_their_entries(ledger: Ledger) -> None:
    run = ledger.runs.start("p")
    ledger.rows.apply(run, [answered(key) for key in "abcd"], [refused("e")])
    ledger.rows.apply(ledger.runs.start("q"), [answered("z")], [])
    ledger.rows.list(run, ["b"], place=0)
    removed = []
    while count := ledger.rows.remove_vanished(run, at_once=3):
        removed.append(count)
    assert removed == [3, 1]
    assert list(ledger.rows.lines("p")) == [b"b\n"]
    assert list(ledger.rows.lines("q")) == [b"z\n"]
    assert not ledger.quarantine.entries()


def test_what_a_run_listed_is_forgotten_at_its_end(ledger: Ledger) -> None:
    run = ledger.runs.start("p")
    ledger.rows.list(run, ["a"], place=0)
    ledger.rows.forget_listed(run)
    assert ledger.rows.list(run, ["a"], place=0) == [1]


def test_rows_that_are_to_be_tried_again_are_counted_by_their_pipeline(ledger: Ledger) -> None:
    ledger.rows.apply(ledger.runs.start("p"), [answered("a")], [refused("b"), refused("c"), refused("d")])
    ledger.rows.apply(ledger.runs.start("q"), [], [refused("z")])
    assert ledger.rows.to_retry("p") == 0
    ledger.quarantine.retry([entry.id for entry in ledger.quarantine.entries() if entry.source != "/f#b"])
    assert (ledger.rows.to_retry("p"), ledger.rows.to_retry("q")) == (2, 1)


def test_a_ledger_without_rows_can_be_read_and_is_completed(home: Home) -> None:
    with Ledger.open(home):
        pass
    connection = sqlite3.connect(home.ledger_path)
    connection.execute("DROP TABLE rows")
    connection.commit()
    connection.close()
    with Ledger.read(home) as ledger:
        assert ledger.quarantine.entries() == []
    with Ledger.open(home) as ledger:
        assert ledger.rows.count("p") == 0

"""What tasks usually take, in the ledger's file."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from tenire.core.history import NAMES, History
from tenire.errors import StoreError
from tenire.storage import schema
from tenire.storage.home import Home, HomeLock
from tenire.storage.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def history_of(**seconds: float) -> History:
    history = History()
    for name, value in seconds.items():
        for number in range(10):
            history.record(name, value + number)
    return history


def without_table(home: Home) -> None:
    """Make the ledger one of the version before the table."""
    with sqlite3.connect(home.ledger_path) as connection:
        connection.execute("DROP TABLE history")
    connection.close()


def columns(home: Home) -> int:
    with sqlite3.connect(home.ledger_path) as connection:
        found = connection.execute("SELECT count(*) FROM pragma_table_info('history')").fetchone()[0]
    connection.close()
    return int(found)


def test_what_was_saved_comes_back_to_four_digits(home: Home) -> None:
    history = History()
    strange = "p: \udcff ünï \n'"
    for number in range(100):
        history.record(strange, 1.23456e-5 * (number + 1))
        history.record_memory(strange, 123_456_789 + number)
    history.record_failure(strange)
    with Ledger.open(home) as ledger:
        ledger.history.save(history.changes())
    with Ledger.read(home) as reader:
        back = History.from_rows(reader.history.rows())
    before, after = history.summary(strange), back.summary(strange)
    assert before is not None
    assert after is not None
    assert (after.count, after.failures, after.failure_ratio) == (100, 1, before.failure_ratio)
    assert after.p50 == pytest.approx(before.p50, rel=5e-4)
    assert after.p95 == pytest.approx(before.p95, rel=5e-4)
    assert after.memory == pytest.approx(before.memory, rel=5e-4)


def test_a_name_is_replaced_and_the_ones_saved_longest_ago_go(home: Home) -> None:
    with Ledger.open(home) as ledger:
        ledger.history.save(history_of(a=1.0, b=2.0).rows())
        ledger.history.save(history_of(a=5.0).rows())
        assert [row[1] for row in ledger.history.rows()] == ["b", "a"]
        assert History.from_rows(ledger.history.rows()).usual("a") == 9.5
        many = History()
        for number in range(NAMES - 1):
            many.record(f"n{number}", 1.0)
        ledger.history.save(many.rows())
        names = [row[1] for row in ledger.history.rows()]
    assert len(names) == NAMES
    assert names[:2] == ["a", "n0"]


def test_rows_that_are_damaged_are_left_out(home: Home) -> None:
    with Ledger.open(home) as ledger:
        ledger.history.save(history_of(a=1.0, b=2.0).rows())
        with ledger._database.writing() as connection:
            for name, facts in ((b"a", "no JSON"), (b"c", b"\xff"), (b"d", "[" * 100_000), (b"e", "7"), (b"f", "null")):
                connection.execute("INSERT OR REPLACE INTO history (name, facts) VALUES (?, ?)", (name, facts))
        assert [row[1] for row in History.from_rows(ledger.history.rows()).rows()] == ["b"]


def test_a_ledger_of_the_version_before_is_read_as_it_is_and_completed_by_a_writer(home: Home) -> None:
    with Ledger.open(home) as ledger:
        ledger.remember("kept", "yes")
    without_table(home)
    with Ledger.read(home) as reader:
        assert reader.history.rows() == []
    assert columns(home) == 0, "a reader changes nothing"
    for opener in (Ledger.open, Ledger.join):
        with opener(home) as ledger:
            ledger.history.save(history_of(a=1.0).rows())
            assert ledger.setting("kept") == "yes"
        assert columns(home) == 3
        without_table(home)


def test_an_older_version_can_still_use_a_ledger_with_the_table(home: Home) -> None:
    # It compares the format and looks at the tables that it knows.
    with Ledger.open(home) as ledger, ledger._database.reading() as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    assert schema.FORMAT == 1


def test_one_may_join_the_engine_that_holds_the_home(home: Home) -> None:
    with HomeLock(home), Ledger.open(home) as owner:
        with Ledger.join(home) as other:
            other.history.save(history_of(a=1.0).rows())
        owner.remember("still", "writes")
        assert [row[1] for row in owner.history.rows()] == ["a"]
        with Ledger.join(home) as other:
            other._database._connection.execute("PRAGMA busy_timeout = 1")
            with owner._database.writing(), pytest.raises(StoreError, match="locked"):
                other.history.save(history_of(b=1.0).rows())
        owner.remember("and", "goes on")


def test_one_who_joins_has_little_patience(home: Home) -> None:
    Ledger.open(home).close()
    with Ledger.join(home) as ledger, ledger._database.reading() as connection:
        assert connection.execute("PRAGMA busy_timeout").fetchone()[0] <= 500


def test_there_must_be_a_ledger_to_join(home: Home) -> None:
    with pytest.raises(StoreError, match="no ledger"):
        Ledger.join(home)
    assert not home.path.exists()
    home.create()
    home.ledger_path.touch()
    with pytest.raises(StoreError, match="no ledger"):
        Ledger.join(home)
    assert home.ledger_path.stat().st_size == 0

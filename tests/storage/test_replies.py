"""Replies, claims and charges in the ledger's file."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from tenire.errors import InternalError
from tenire.storage import owners
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger
from tenire.storage.owners import LEASE_S, new_owner
from tenire.storage.provider_batches import OpenBatch
from tenire.storage.replies import Began, Finished, Kept, Wanted
from tenire.storage.spending import Charge, Spent
from tenire.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHARGE = Charge("news", "small", 100, 40, 20, 5, cost=27_000_000, guessed=0)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(wall=1_000_000.0)


@pytest.fixture
def ledger(home: Home, clock: ManualClock) -> Iterator[Ledger]:
    with Ledger.open(home, clock=clock) as ledger:
        yield ledger


def wanted(*names: bytes) -> list[Wanted]:
    return [Wanted(name) for name in names]


def keep(ledger: Ledger, key: bytes, reply: bytes) -> None:
    ledger.replies.finish("me", [Finished(key, reply)])


def test_a_request_is_claimed_answered_and_found_again(ledger: Ledger, clock: ManualClock) -> None:
    me = new_owner()
    assert ledger.replies.begin(me, wanted(b"a", b"b")) == [Began.CLAIMED, Began.CLAIMED]
    ledger.replies.finish(me, [Finished(b"a", b"reply", [CHARGE]), Finished(b"b", None)])
    assert ledger.replies.begin(me, wanted(b"b", b"a")) == [Began.CLAIMED, Kept(b"reply", clock.wall())]
    assert ledger.spending.total() == Spent(1, 100, 40, 20, 5, 27_000_000, 0)


def test_what_a_batch_asks_for_too_is_claimed_and_told(ledger: Ledger) -> None:
    me = new_owner()
    ledger.provider_batches.open(me, OpenBatch("one", "somebody", "news", "small"))
    ledger.provider_batches.claim("one", [b"a"])
    assert ledger.replies.begin(me, wanted(b"a", b"b")) == [Began.ALSO_IN_BATCH, Began.CLAIMED]
    assert ledger.replies.begin(new_owner(), wanted(b"a")) == [Began.UNDER_WAY]
    assert [began for began in Began if not began.is_claim] == [Began.UNDER_WAY]
    ledger.replies.finish(me, [Finished(b"a", None), Finished(b"b", None)])
    ledger.provider_batches.drop("one")
    assert ledger.replies.begin(me, wanted(b"a")) == [Began.CLAIMED]


def test_a_claim_of_another_owner_is_respected_until_it_is_given_up(ledger: Ledger) -> None:
    me, other = new_owner(), new_owner()
    assert ledger.replies.begin(other, wanted(b"a")) == [Began.CLAIMED]
    assert ledger.replies.begin(me, wanted(b"a", b"b")) == [Began.UNDER_WAY, Began.CLAIMED]
    ledger.replies.finish(me, [Finished(b"a", None)])  # not mine to give up
    assert ledger.replies.begin(me, wanted(b"a")) == [Began.UNDER_WAY]
    ledger.replies.release(other)
    assert ledger.replies.begin(me, wanted(b"a")) == [Began.CLAIMED]


def test_a_claim_is_good_for_as_long_as_its_owner_renews_it(ledger: Ledger, clock: ManualClock) -> None:
    me, other = new_owner(), new_owner()
    ledger.replies.begin(other, wanted(b"a"))
    clock.advance(LEASE_S - 1)
    ledger.replies.renew(other)
    clock.advance(LEASE_S - 1)
    assert ledger.replies.begin(me, wanted(b"a")) == [Began.UNDER_WAY]
    clock.advance(2)
    assert ledger.replies.begin(me, wanted(b"a")) == [Began.CLAIMED]


def test_a_claim_ends_with_its_process(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(owners.os, "getpid", lambda: 2**22 + 1)  # beyond any pid
        dead = new_owner()
    ledger.replies.begin(dead, wanted(b"a"))
    assert ledger.replies.begin(new_owner(), wanted(b"a")) == [Began.CLAIMED]


def test_a_pid_that_was_given_to_another_process_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(owners, "_started", lambda pid: 17.0)
        before = new_owner()
    assert owners.is_void(before, good_until=110.0, now=100.0)
    assert not owners.is_void(new_owner(), good_until=110.0, now=100.0)


def test_a_clock_that_was_set_back_keeps_no_claim_alive() -> None:
    assert owners.is_void(new_owner(), good_until=10_000.0, now=100.0)


def test_a_claim_of_another_machine_only_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(owners.platform, "node", lambda: "elsewhere/with a slash")
        patch.setattr(owners.os, "getpid", lambda: 2**22 + 1)
        far = new_owner()
    assert not owners.is_void(far, good_until=110.0, now=100.0)
    assert owners.is_void(far, good_until=110.0, now=110.0)


def test_a_reply_that_is_too_old_does_not_count(ledger: Ledger, clock: ManualClock) -> None:
    keep(ledger, b"a", b"old")
    made_at = clock.wall()
    clock.advance(100)
    assert ledger.replies.begin("me/0/x/y", [Wanted(b"a", made_at)]) == [Kept(b"old", made_at)]
    assert ledger.replies.begin("me/0/x/y", [Wanted(b"a", made_at + 1)]) == [Began.CLAIMED]


@pytest.mark.parametrize("opened_anew", [False, True])
def test_a_reply_of_a_clock_that_was_set_back_ages_from_when_that_is_seen(
    home: Home, ledger: Ledger, clock: ManualClock, opened_anew: bool
) -> None:
    keep(ledger, b"a", b"reply")
    clock.step_wall(-500_000.0)
    seen_at = clock.wall()
    if opened_anew:
        ledger.replies.mend_times()
    else:
        assert ledger.replies.begin("me/0/x/y", [Wanted(b"a", seen_at - 60)]) == [Kept(b"reply", seen_at)]
    clock.advance(100)
    assert ledger.replies.find([b"a"]) == {b"a": Kept(b"reply", seen_at)}, "it is not paid twice where age is nothing"
    assert ledger.replies.begin("me/0/x/y", [Wanted(b"a", clock.wall() - 60)]) == [Began.CLAIMED]


def test_replies_used_longest_ago_go_first(ledger: Ledger, clock: ManualClock) -> None:
    for name in b"abcdefghij":
        clock.advance(7200)
        keep(ledger, bytes([name]), bytes(1000))
    clock.advance(7200)
    ledger.replies.begin("me/0/x/y", wanted(b"a"))  # the oldest one is used again
    full = ledger.replies.size()
    assert ledger.replies.trim(full) == 0
    assert ledger.replies.trim(full // 2) > 0
    assert full // 3 < ledger.replies.size() <= full // 2
    assert isinstance(ledger.replies.begin("me/0/x/y", wanted(b"a"))[0], Kept)
    assert ledger.replies.begin("me/0/x/y", wanted(b"b")) == [Began.CLAIMED]


def test_what_many_short_programs_keep_is_bounded_too(home: Home, clock: ManualClock) -> None:
    most = 300_000
    for number in range(60):
        with Ledger.open(home, clock=clock) as short:  # each of them a program with one reply
            clock.advance(7200)
            keep(short, b"%d" % number, bytes(10_000))
            short.replies.trim(most)
    with Ledger.open(home, clock=clock) as last:
        assert most // 2 < last.replies.size() <= most
        assert isinstance(last.replies.begin("me/0/x/y", wanted(b"59"))[0], Kept)


def test_replies_are_not_counted_while_the_whole_ledger_is_small(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(ledger, b"a", bytes(1000))
    monkeypatch.setattr(ledger.replies, "size", lambda: pytest.fail("it walks over all replies"))
    assert ledger.replies.trim(1 << 30) == 0


def test_reading_writes_nothing_within_an_hour(ledger: Ledger, home: Home, clock: ManualClock) -> None:
    keep(ledger, b"a", b"reply")
    with sqlite3.connect(home.ledger_path) as reader:
        version = reader.execute("PRAGMA data_version").fetchone()
        ledger.replies.begin("me/0/x/y", wanted(b"a"))
        assert reader.execute("PRAGMA data_version").fetchone() == version
        clock.advance(3601)
        ledger.replies.begin("me/0/x/y", wanted(b"a"))
        assert reader.execute("PRAGMA data_version").fetchone() != version
    reader.close()


def test_the_count_of_bytes_keeps_up(ledger: Ledger) -> None:
    before = ledger.replies.size()
    keep(ledger, b"a", bytes(500))
    counted = ledger.replies.size()
    assert counted > before + 500
    ledger.replies.drop([b"a", b"unknown"])
    assert ledger.replies.size() == before
    assert ledger.replies.count() == 0


def test_a_reply_and_its_charge_are_written_together_or_not_at_all(ledger: Ledger) -> None:
    wrong = CHARGE._replace(pipeline=None)  # type: ignore[arg-type]  # breaks a rule of the table
    with pytest.raises(InternalError, match="NOT NULL"):
        ledger.replies.finish("me", [Finished(b"a", b"reply", [CHARGE, wrong])])
    assert ledger.replies.count() == 0
    assert ledger.spending.total() == Spent()


def test_more_keys_than_sqlite_takes_at_once_are_found(ledger: Ledger) -> None:
    keys = [number.to_bytes(4, "big") for number in range(1200)]
    ledger.replies.finish("me", [Finished(key, key) for key in keys])
    found = ledger.replies.begin("me/0/x/y", wanted(*keys))
    assert [one.reply for one in found if isinstance(one, Kept)] == keys


def test_a_ledger_of_an_older_version_gains_the_tables(home: Home, clock: ManualClock) -> None:
    Ledger.open(home, clock=clock).close()
    with sqlite3.connect(home.ledger_path) as connection:
        for table in ("replies", "flights", "spending", "spending_holds"):
            connection.execute(f"DROP TABLE {table}")
    connection.close()
    with Ledger.read(home) as reader:
        assert reader.spending.total() == Spent()
        assert reader.spending.by_pipeline() == {}
    with Ledger.join(home, clock=clock) as joined:
        keep(joined, b"a", b"reply")
        assert joined.replies.count() == 1

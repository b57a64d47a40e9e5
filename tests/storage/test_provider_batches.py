"""Batches at a provider: each request in one of them, each reply kept and charged once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tenire.storage.home import Home
from tenire.storage.ledger import Ledger
from tenire.storage.owners import LEASE_S, new_owner
from tenire.storage.provider_batches import OpenBatch, SettledLine
from tenire.storage.spending import Charge
from tenire.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

A, B, C, D = (bytes([letter]) * 20 for letter in b"abcd")
CHARGE = Charge("news", "small", 10, 0, 2, 0, 5, 0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(wall=1_000_000.0)


@pytest.fixture
def ledger(tmp_path: Path, clock: ManualClock) -> Iterator[Ledger]:
    with Ledger.open(Home(tmp_path), clock=clock) as ledger:
        yield ledger


@pytest.fixture
def owner() -> str:
    return new_owner()


def batch(name: str, **facts: object) -> OpenBatch:
    return OpenBatch(name, "api.example", "news", "small")._replace(**facts)


def test_a_request_is_in_one_batch_at_most_and_in_none_if_its_reply_is_kept(ledger: Ledger, owner: str) -> None:
    table = ledger.provider_batches
    table.open(owner, batch("one"))
    table.open(owner, batch("two"))
    assert table.claim("one", [A, B, A]) == {}
    assert table.settle("one", [SettledLine(A, b"reply")]) == {A}
    assert table.claim("two", [A, B, C]) == {A: None, B: "one"}
    assert (set(table.left("one")), set(table.left("two"))) == ({B}, {C})
    assert table.holding([A, B, C, D]) == {B: "one", C: "two"}


def test_a_reply_that_is_too_old_does_not_count(ledger: Ledger, owner: str, clock: ManualClock) -> None:
    table = ledger.provider_batches
    table.open(owner, batch("one"))
    table.claim("one", [A])
    table.settle("one", [SettledLine(A, b"reply")])
    made = clock.wall()
    assert table.claim("one", [A], made) == {A: None}
    assert table.claim("one", [A], made + 1) == {}


def test_results_that_are_read_twice_are_kept_and_charged_once(ledger: Ledger, owner: str) -> None:
    table = ledger.provider_batches
    table.open(owner, batch("one"))
    table.claim("one", [A, B, C])
    settled = [SettledLine(A, b"reply", CHARGE), SettledLine(B, None, CHARGE, again=True), SettledLine(D, b"x", CHARGE)]
    assert table.settle("one", settled) == {A, B}
    assert table.settle("one", settled) == set()
    assert ledger.spending.total().cost == 10
    assert ledger.replies.count() == 1
    assert table.left("one") == {B: 1, C: 0}  # tried, and not reached


def test_lines_move_on_with_their_tries_and_their_share_of_the_money(ledger: Ledger, owner: str) -> None:
    table = ledger.provider_batches
    old = batch("one", lines=4, held=400)
    table.open(owner, old)
    table.claim("one", [A, B, C, D])
    table.settle("one", [SettledLine(A, None, CHARGE, again=True)])
    (new,) = table.move(owner, old, {"two": [A, B]}, tried=False)
    assert (new.id, new.state, new.lines, new.held, new.pipeline) == ("two", "made", 2, 200, "news")
    assert table.left("two") == {A: 1, B: 0}
    assert table.known() == {"two"}
    assert table.settle("two", [SettledLine(A, None, CHARGE)]) == {A}  # what it costs now is another call
    assert table.claim("two", [C, D]) == {}  # free again
    (new,) = table.move(owner, new, {"two and a half": [B]}, tried=True)
    table.claim("two and a half", [C, D])
    halves = table.move(owner, new, {"three": [B], "four": [C, D]}, tried=False)
    assert [half.lines for half in halves] == [1, 2]
    assert (table.left("three"), table.left("four")) == ({B: 1}, {C: 0, D: 0})


def test_a_batch_is_looked_after_by_one_program_and_then_by_the_next(
    ledger: Ledger, owner: str, clock: ManualClock
) -> None:
    table, other = ledger.provider_batches, new_owner()
    table.open(owner, batch("one"))
    table.seal("one", lines=3, held=70)
    table.uploaded("one", "file-1")
    table.creating("one")
    assert table.adopt(other, "api.example", "news") == []
    clock.advance(LEASE_S / 2)
    ledger.replies.renew(owner)
    clock.advance(LEASE_S * 0.9)
    assert table.adopt(other, "api.example", "news") == []
    clock.advance(LEASE_S)
    assert table.adopt(other, "api.example", "news", but={"one"}) == []
    assert table.adopt(other, "api.example", "mail") == []
    assert table.adopt(other, "other.example", "news") == []
    found = table.adopt(other, "api.example", "news")
    assert found == [batch("one", state="creating", file="file-1", lines=3, held=70, made_at=1_000_000.0)]
    table.sent("one", "batch-7")
    table.release("one")
    (found_again,) = table.adopt(owner, "api.example", "news")
    assert (found_again.state, found_again.provider_id, found_again.sent_at) == ("sent", "batch-7", clock.wall())


def test_what_a_batch_can_cost_counts_as_held_while_nobody_looks_after_it(ledger: Ledger, owner: str) -> None:
    table, other = ledger.provider_batches, new_owner()
    table.open(owner, batch("one"))
    table.seal("one", lines=3, held=70)
    assert ledger.spending.hold(other, 100, least=1, keep=0, limit=100).elsewhere == 0  # its owner holds it
    table.release("one")
    found = ledger.spending.hold(other, 100, least=1, keep=0, limit=100)
    assert (found.held, found.elsewhere) == (30, 70)
    table.drop("one")
    assert ledger.spending.hold(other, 100, least=1, keep=0, limit=100).held == 100


def test_batches_of_a_pipeline_can_be_given_up(ledger: Ledger, owner: str) -> None:
    table = ledger.provider_batches
    table.open(owner, batch("one"))
    table.open(owner, batch("two", pipeline="mail"))
    assert table.give_up("news") == 1
    assert (table.unwanted("one"), table.unwanted("two"), table.unwanted("none")) == (True, False, False)


def test_many_requests_are_claimed_and_settled_at_once(ledger: Ledger, owner: str) -> None:
    table = ledger.provider_batches
    keys = [number.to_bytes(20, "big") for number in range(2_000)]
    table.open(owner, batch("one"))
    assert table.claim("one", keys) == {}
    assert table.settle("one", [SettledLine(key, b"reply", CHARGE) for key in keys]) == set(keys)
    assert table.claim("one", keys) == dict.fromkeys(keys)
    assert ledger.spending.total().calls == 2_000

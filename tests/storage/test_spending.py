"""What calls cost, and what running programs may still spend."""

from __future__ import annotations

from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tenire.storage.database import Database
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger
from tenire.storage.owners import LEASE_S, new_owner
from tenire.storage.replies import Finished
from tenire.storage.schema import prepare
from tenire.storage.spending import Charge, Hold, SpendingTable, Spent
from tenire.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(wall=1_000_000.0)


@pytest.fixture
def spending(tmp_path: Path, clock: ManualClock) -> Iterator[SpendingTable]:
    with Ledger.open(Home(tmp_path), clock=clock) as ledger:
        yield ledger.spending


def charge(pipeline: str, cost: int, *, model: str = "small", guessed: int = 0) -> Charge:
    return Charge(pipeline, model, 10, 4, 2, 1, cost, guessed)


def test_charges_add_up_by_pipeline(spending: SpendingTable, clock: ManualClock) -> None:
    spending.add([charge("news", 5), charge("news", 7, model="large"), charge("mail", 1, guessed=1)])
    clock.advance(100_000)  # another day
    spending.add([charge("news", 3)])
    assert spending.by_pipeline() == {"mail": Spent(1, 10, 4, 2, 1, 1, 1), "news": Spent(3, 30, 12, 6, 3, 15, 0)}
    assert spending.total() == Spent(4, 40, 16, 8, 4, 16, 1)


def test_what_one_owner_holds_another_may_not(spending: SpendingTable) -> None:
    me, other = new_owner(), new_owner()
    spending.add([charge("news", 40)])
    assert spending.hold(other, 50, least=1, keep=0, limit=100) == Hold(50, spent=40, elsewhere=0)
    assert spending.hold(me, 30, least=5, keep=0, limit=100) == Hold(10, spent=40, elsewhere=50)
    assert spending.hold(me, 30, least=20, keep=7, limit=100) == Hold(7, spent=40, elsewhere=50)
    spending.release(other)
    assert spending.hold(me, 30, least=20, keep=7, limit=100) == Hold(30, spent=40, elsewhere=0)


def test_what_a_program_held_that_is_gone_comes_back(spending: SpendingTable, clock: ManualClock) -> None:
    spending.hold(new_owner(), 100, least=1, keep=0, limit=100)
    assert spending.hold(new_owner(), 1, least=1, keep=0, limit=100).held == 0
    clock.advance(LEASE_S)
    assert spending.hold(new_owner(), 1, least=1, keep=0, limit=100).held == 1


class Holders(RuleBasedStateMachine):
    """Owners take, spend and give back; all together never pass the limit."""

    limit = 1000

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock(wall=1_000_000.0)
        self.folder = TemporaryDirectory()
        self.database = Database(Home(self.folder.name).ledger_path, writable=True, write_ahead_log=False)
        prepare(self.database)
        self.table = SpendingTable(self.database, self.clock)
        self.owners = [new_owner() for _ in range(3)]
        self.held = [0, 0, 0]
        self.spent = 0

    @rule(who=st.integers(0, 2), wanted=st.integers(0, 700), least=st.integers(0, 300), part=st.floats(0, 1))
    def take(self, who: int, wanted: int, least: int, part: float) -> None:
        least, keep = min(least, wanted), int(self.held[who] * part)
        found = self.table.hold(self.owners[who], wanted, least=least, keep=keep, limit=self.limit)
        others = sum(self.held) - self.held[who]
        free = self.limit - self.spent - others
        self.held[who] = min(wanted, free) if free >= least else keep
        assert found == Hold(self.held[who], self.spent, others)

    @rule(who=st.integers(0, 2), part=st.floats(0, 1))
    def spend(self, who: int, part: float) -> None:
        cost = int(self.held[who] * part)
        self.table.add([charge("p", cost)])
        self.spent += cost
        self.held[who] -= cost
        self.table.hold(self.owners[who], self.held[who], least=0, keep=0, limit=self.limit)

    @rule(who=st.integers(0, 2))
    def give_back(self, who: int) -> None:
        self.table.release(self.owners[who])
        self.held[who] = 0

    @invariant()
    def within_the_limit(self) -> None:
        assert self.spent + sum(self.held) <= self.limit

    def teardown(self) -> None:
        self.database.close()
        self.folder.cleanup()


TestHolders = Holders.TestCase


def gone_owner() -> str:
    """Return the name of an owner whose process is there no more."""
    _, started, rest = new_owner().split("/", 2)
    return f"{2**30}/{started}/{rest}"


def test_what_a_killed_program_had_sent_counts_as_spent_and_as_a_guess_once(spending: SpendingTable) -> None:
    spending.expect(gone_owner(), {1: charge("news", 5), 2: charge("news", 7), 3: charge("mail", 1)})
    spending.expect(new_owner(), {1: charge("mail", 100)})
    assert spending.settle_lost() == Spent(3, 30, 0, 6, 0, 13, 13)
    assert spending.by_pipeline() == {"mail": Spent(1, 10, 0, 2, 0, 1, 1), "news": Spent(2, 20, 0, 4, 0, 12, 12)}
    assert spending.settle_lost() == Spent()
    assert spending.total().cost == 13


def test_a_program_that_still_runs_heeds_what_a_killed_one_had_sent(spending: SpendingTable) -> None:
    spending.hold(gone_owner(), 80, least=80, keep=0, limit=100)
    spending.expect(gone_owner(), {1: charge("news", 30)})
    assert spending.hold(new_owner(), 100, least=1, keep=0, limit=100) == Hold(70, spent=30, elsewhere=0, guessed=30)


def test_what_came_of_a_call_stands_for_what_was_expected(tmp_path: Path, clock: ManualClock) -> None:
    owner = gone_owner()
    with Ledger.open(Home(tmp_path), clock=clock) as ledger:
        ledger.spending.expect(owner, {1: charge("news", 5), 2: charge("news", 7), 3: charge("news", 9)})
        ledger.replies.finish(owner, [Finished(None, None, [charge("news", 4)], [1])])
        ledger.spending.withdraw(owner, [2])
        assert ledger.spending.settle_lost().cost == 9
        assert ledger.spending.total().cost == 13


def test_what_an_owner_has_not_accounted_for_is_charged_as_it_leaves(spending: SpendingTable) -> None:
    owner, other = new_owner(), new_owner()
    spending.expect(owner, {1: charge("news", 5)})
    spending.expect(other, {1: charge("news", 70)})
    spending.release(owner)
    assert spending.total() == Spent(1, 10, 0, 2, 0, 5, 5)


def test_what_is_expected_elsewhere_counts_once_its_owner_is_silent(tmp_path: Path, clock: ManualClock) -> None:
    owner = new_owner() + "-of-another-machine"
    with Ledger.open(Home(tmp_path), clock=clock) as ledger:
        ledger.spending.expect(owner, {1: charge("news", 5)})
        for _ in range(3):
            clock.advance(LEASE_S - 1)
            ledger.replies.renew(owner)
            assert ledger.spending.settle_lost() == Spent()
        clock.advance(LEASE_S)
        assert ledger.spending.settle_lost().cost == 5


def test_what_a_living_program_expects_is_not_lost_however_the_clock_jumps(
    spending: SpendingTable, clock: ManualClock
) -> None:
    owner = new_owner()
    spending.expect(owner, {1: charge("news", 5)})
    clock.advance(10 * LEASE_S)  # the machine slept, or its clock was set
    assert spending.settle_lost() == Spent()
    assert spending.hold(owner, 50, least=1, keep=0, limit=100) == Hold(50, spent=0, elsewhere=0, guessed=0)
    assert spending.total() == Spent()

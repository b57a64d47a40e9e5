"""What may still be spent, against a model that keeps every call in a list."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tenire.core.budget import Budget


def test_without_a_limit_everything_fits() -> None:
    budget = Budget()
    assert budget.take(10**15)
    assert budget.fits(10**15)
    assert budget.may_wait(1)


def test_waiting_is_of_no_use_while_nothing_is_under_way() -> None:
    budget = Budget(10)
    assert not budget.may_wait(5)
    assert budget.take(10)
    assert budget.may_wait(10)
    assert not budget.may_wait(11)
    budget.settle(10, cost=3)
    assert not budget.take(8)
    assert not budget.may_wait(8)
    assert budget.take(7)


def test_what_cost_more_than_expected_counts_in_full() -> None:
    budget = Budget(10)
    assert budget.take(10)
    budget.settle(10, cost=12)
    assert (budget.spent, budget.held) == (12, 0)
    assert not budget.fits(0)


class Calls(RuleBasedStateMachine):
    """Calls begin and end in any order; none costs more than was held for it."""

    def __init__(self) -> None:
        super().__init__()
        self.limit = 100
        self.budget = Budget(self.limit)
        self.under_way: list[int] = []
        self.spent = 0

    @rule(cost=st.integers(0, 60))
    def take(self, cost: int) -> None:
        fits = self.spent + sum(self.under_way) + cost <= self.limit
        may_wait = bool(sum(self.under_way)) and self.spent + cost <= self.limit
        assert self.budget.may_wait(cost) == may_wait
        assert self.budget.fits(cost) == fits
        assert self.budget.take(cost) == fits
        if fits:
            self.under_way.append(cost)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        held = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        cost = data.draw(st.integers(0, held))
        self.budget.settle(held, cost=cost)
        self.spent += cost

    @invariant()
    def agrees(self) -> None:
        self.budget.check()
        assert (self.budget.spent, self.budget.held) == (self.spent, sum(self.under_way))
        assert self.budget.spent + self.budget.held <= self.limit


TestCalls = Calls.TestCase

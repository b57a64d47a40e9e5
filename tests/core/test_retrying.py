"""Whether and when a call is tried again."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.core.retry_budget import RetryBudget
from tenire.core.retrying import MOST_UNCOUNTED, Kind, next_try
from tenire.core.tasks import Retry

NEVER = float("inf")


def ask(kind: Kind = Kind.TRANSIENT, tries: int = 1, now: float = 100.0, **others: Any) -> float | str:
    settings: dict[str, Any] = {
        "retry": Retry(attempts=3, backoff=1.0, max_delay=8.0),
        "budget": None,
        "deadline": NEVER,
        "not_before": -NEVER,
        "rng": random.Random(1),
    }
    return next_try(kind, tries, now, **{**settings, **others})


UNCOUNTED = [Kind.UNCOUNTED, Kind.OUTAGE]
COUNTED = [kind for kind in Kind if kind not in UNCOUNTED]


@given(
    st.sampled_from(COUNTED), st.integers(1, 5), st.floats(0, 20), st.floats(-10, 20), st.integers(0, 2), st.integers()
)
def test_a_next_try_keeps_every_bound(
    kind: Kind, tries: int, within: float, wait: float, balance: int, seed: int
) -> None:
    budget = RetryBudget(reserve=balance)
    when = ask(kind, tries, budget=budget, deadline=100.0 + within, not_before=100.0 + wait, rng=random.Random(seed))
    if isinstance(when, str):
        assert budget.balance == balance  # what is not tried again costs nothing
        return
    assert budget.balance == balance - 1
    assert kind in (Kind.TRANSIENT, Kind.OVERLOAD)
    assert tries < 3
    assert max(100.0, 100.0 + wait) <= when < 100.0 + within
    assert when <= max(100.0 + wait, 100.0 + 2.0 ** (tries - 1))


@pytest.mark.parametrize(
    ("others", "reason"),
    [
        ({"kind": Kind.PERMANENT}, "the failure is permanent"),
        ({"kind": Kind.POISON}, "the failure is poison"),
        ({"tries": 3}, "all 3 tries are used up"),
        ({"deadline": 100.0}, "after the deadline"),
        ({"not_before": 160.0, "deadline": 160.0}, "after the deadline"),
        ({"budget": RetryBudget(reserve=0)}, "budget is used up"),
    ],
)
def test_it_says_why_there_is_no_next_try(others: dict[str, Any], reason: str) -> None:
    answer = ask(**others)
    assert isinstance(answer, str)
    assert reason in answer


def test_a_server_that_names_a_time_is_asked_then() -> None:
    assert ask(Kind.OVERLOAD, not_before=130.0) == 130.0


@given(st.sampled_from(UNCOUNTED), st.integers(0, 5), st.integers(1, MOST_UNCOUNTED), st.floats(0, 20), st.integers())
def test_what_is_put_off_costs_neither_a_try_nor_the_budget(
    kind: Kind, tries: int, uncounted: int, wait: float, seed: int
) -> None:
    budget = RetryBudget(reserve=0)
    others = {"uncounted": uncounted, "not_before": 100.0 + wait, "rng": random.Random(seed), "budget": budget}
    when = ask(kind, tries, **others)
    assert isinstance(when, float)
    assert 100.0 + wait <= when <= max(100.0 + wait, 108.0)


def test_what_is_put_off_keeps_the_deadline_too() -> None:
    assert ask(Kind.UNCOUNTED, 0, uncounted=1, deadline=100.0) == "the next try would come after the deadline"


def test_nothing_is_put_off_for_ever() -> None:
    many = MOST_UNCOUNTED + 1
    assert ask(Kind.UNCOUNTED, 0, uncounted=many) == f"it was put off {many} times"


def test_an_outage_is_waited_out_for_as_long_as_it_takes() -> None:
    assert isinstance(ask(Kind.OUTAGE, 0, uncounted=1_000_000), float)
    assert ask(Kind.OUTAGE, 0, uncounted=1, deadline=100.0) == "the next try would come after the deadline"


def test_the_more_often_it_was_put_off_the_longer_it_waits() -> None:
    once = [ask(Kind.UNCOUNTED, 0, uncounted=1, rng=random.Random(seed)) for seed in range(50)]
    often = [ask(Kind.UNCOUNTED, 0, uncounted=4, rng=random.Random(seed)) for seed in range(50)]
    assert max(map(float, once)) <= 101.0
    assert 106.0 < max(map(float, often)) <= 108.0

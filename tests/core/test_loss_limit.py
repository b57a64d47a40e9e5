"""The bound on calls that fail."""

from __future__ import annotations

import pytest

from tenire.core.loss_limit import LATE_SHARE, TIMEOUT_SHARE, LossLimit


def cut(limit: int = 20, minimum: int = 1) -> LossLimit:
    loss = LossLimit(minimum)
    assert loss.fail(5, latest=20, bearable=0.0, limit=limit)
    return loss


def succeed(loss: LossLimit, times: int, number: int = 10**6) -> None:
    for _ in range(times):
        loss.succeed(number)


def test_the_first_failure_cuts_by_a_tenth() -> None:
    loss = cut()
    assert (loss.active, loss.bound, loss.goal) == (True, 18.0, 20.0)


def test_calls_that_started_before_the_cut_never_cut_again() -> None:
    loss = cut()
    assert not any(loss.fail(number, latest=20, bearable=0.0, limit=18) for number in range(1, 21))
    assert loss.bound == 18.0
    assert loss.fail(21, latest=30, bearable=0.0, limit=18)
    assert loss.bound < 18.0


def test_a_cut_is_one_call_at_the_least_and_never_passes_the_minimum() -> None:
    assert cut(limit=3).bound == 2.0
    assert cut(limit=4, minimum=4).bound == 4.0


def test_the_more_is_refused_the_deeper_the_cut() -> None:
    loss = cut(limit=100)
    for number in range(6, 20):
        loss.fail(number, latest=20, bearable=0.0, limit=90)
    assert loss.fail(21, latest=30, bearable=0.0, limit=90)
    assert loss.bound < 0.75 * 90


def test_late_failures_cut_only_when_they_are_many() -> None:
    loss = LossLimit(1)
    failed = [loss.fail(number, latest=50, bearable=LATE_SHARE, limit=20) for number in range(1, 4)]
    assert failed == [False, False, True]
    loss = LossLimit(1)
    for number in range(1, 5000, 50):
        assert not loss.fail(number, latest=10_000, bearable=LATE_SHARE, limit=20), "one in fifty is bad luck"
        succeed(loss, 49, number)


def test_timeouts_cut_only_when_they_are_far_more() -> None:
    loss = LossLimit(1)
    failed = [loss.fail(number, latest=50, bearable=TIMEOUT_SHARE, limit=20) for number in range(1, 8)]
    assert failed == [False] * 6 + [True]


def test_a_late_failure_that_is_bad_luck_does_not_begin_the_round_anew() -> None:
    loss = cut()
    succeed(loss, 17)
    assert not loss.fail(30, latest=40, bearable=LATE_SHARE, limit=18)
    succeed(loss, 1)
    assert loss.grow(20.0)


def test_nothing_grows_before_a_clean_round_since_the_cut() -> None:
    loss = cut()
    succeed(loss, 100, number=20)  # they had started before
    assert not loss.grow(20.0)
    succeed(loss, 17)
    assert not loss.grow(20.0)
    loss.fail(20, latest=40, bearable=0.0, limit=18)  # begins the round anew
    succeed(loss, 17)
    assert not loss.grow(20.0)
    assert loss.bound == 18.0


def test_it_returns_to_just_below_the_goal_waits_and_goes_one_step_further() -> None:
    loss = cut(limit=40)
    loss.bound = 20.0
    succeed(loss, 30)
    assert loss.grow(40.0)
    assert loss.bound == 36.0, "nine tenths at once, as far as calls went well"
    for _ in range(3):
        succeed(loss, 20)
        loss.grow(40.0)
    assert 38.0 < loss.bound <= 39.0
    loss.bound = 39.0
    succeed(loss, 59)
    assert not loss.grow(40.0)
    succeed(loss, 1)
    assert loss.grow(40.0)
    assert (loss.bound, loss.goal) == (40.0, 40.0)
    succeed(loss, 39)
    assert not loss.grow(40.0)
    succeed(loss, 1)
    assert loss.grow(40.0), "the second step comes sooner"
    assert loss.bound == 41.0


def test_growth_goes_no_further_than_calls_went_well() -> None:
    loss = cut(limit=40)
    loss.bound = 4.0
    succeed(loss, 5)
    assert loss.grow(40.0)
    assert loss.bound == 9.0
    assert not loss.grow(40.0), "each counts once"


def test_the_goal_outlives_an_outage_and_follows_a_failure_during_growth() -> None:
    loss = cut(limit=40)
    for number in range(21, 60):
        loss.fail(number, latest=number, bearable=0.0, limit=int(loss.bound))
    assert (loss.bound, loss.goal) == (4.0, 40.0), "one call that hangs would stop a limit of one"
    succeed(loss, 6)
    assert loss.grow(40.0)
    assert loss.fail(100, latest=100, bearable=0.0, limit=10)
    assert loss.goal == 10.0


def test_where_some_are_answered_and_some_refused_it_goes_down_to_the_minimum() -> None:
    loss = cut(limit=8)
    for number in range(21, 60):
        loss.succeed(number)
        loss.fail(number, latest=number, bearable=0.0, limit=int(loss.bound))
    assert loss.bound == 1.0


def test_a_bound_far_above_the_aim_is_given_up() -> None:
    loss = cut(limit=100)
    succeed(loss, 20)
    assert loss.grow(20.0)
    assert not loss.active


def test_failures_long_ago_count_no_more() -> None:
    loss = cut(limit=100)
    for number in range(21, 40):
        loss.fail(number, latest=20, bearable=0.0, limit=90)
    succeed(loss, 200)
    assert loss.fail(300, latest=300, bearable=0.0, limit=90)
    assert loss.bound == pytest.approx(81.0)


def test_the_check_sees_a_bound_below_the_minimum() -> None:
    loss = cut(minimum=4)
    loss.check()
    loss.bound = 3.0
    with pytest.raises(AssertionError):
        loss.check()

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tenire.core.worker_watch import FEW_JOBS, FIRST_ALLOWANCE, WorkerWatch

MANY = FEW_JOBS + 1


def test_a_limit_that_was_set_stays_as_it_is() -> None:
    watch = WorkerWatch(limit=1000, most=5000)
    assert not watch.keeps_too_much(1000, 1)
    for jobs in (1, 1, MANY):
        assert watch.keeps_too_much(1001, jobs)
    assert watch.allowance == 1000


def test_what_is_reached_within_a_few_tasks_is_what_they_need() -> None:
    watch = WorkerWatch(most=8 * FIRST_ALLOWANCE)
    kept = 3 * FIRST_ALLOWANCE
    assert [watch.keeps_too_much(kept, FEW_JOBS) for _ in range(4)] == [True, True, False, False]
    assert watch.allowance == 4 * FIRST_ALLOWANCE


def test_a_leak_is_no_reason_to_allow_more() -> None:
    watch = WorkerWatch()
    for _ in range(5):
        assert watch.keeps_too_much(FIRST_ALLOWANCE + 1, MANY)
    assert watch.allowance == FIRST_ALLOWANCE


def test_no_worker_is_allowed_more_than_all_together() -> None:
    watch = WorkerWatch(most=3 * FIRST_ALLOWANCE)
    assert all(watch.keeps_too_much(1 << 60, 1) for _ in range(50))
    assert watch.allowance == 3 * FIRST_ALLOWANCE
    assert WorkerWatch(most=10).allowance == 10


def test_what_all_may_take_together_may_be_found_out_later() -> None:
    watch, fixed = WorkerWatch(), WorkerWatch(limit=1000)
    assert watch.most is None
    for each in (watch, fixed):
        each.found(100)
        each.check()
    assert (watch.most, watch.allowance, fixed.allowance) == (100, 100, 1000)
    assert [watch.largest_of_too_much({"one": 101}) for _ in range(2)] == [None, "one"]


def test_the_largest_goes_when_all_take_too_much_twice_in_a_row() -> None:
    watch = WorkerWatch(most=100)
    much, little = {"one": 40, "two": 61}, {"one": 40, "two": 60}
    assert watch.largest_of_too_much(much) is None
    assert watch.suspects
    assert watch.largest_of_too_much(little) is None
    assert not watch.suspects
    assert watch.largest_of_too_much(much) is None
    assert watch.largest_of_too_much(much) == "two"
    # What it had has to come back before another one may be ended.
    assert watch.largest_of_too_much(much) is None
    assert watch.largest_of_too_much(much) == "two"


def test_without_a_figure_for_all_none_is_ended() -> None:
    watch = WorkerWatch()
    assert [watch.largest_of_too_much({"one": 1 << 60}) for _ in range(3)] == [None] * 3


def test_who_is_stopped_twice_in_a_row_goes() -> None:
    watch = WorkerWatch()
    assert watch.stopped_for_good({"one", "two"}) == set()
    assert watch.suspects
    assert watch.stopped_for_good({"two", "three"}) == {"two"}
    assert watch.stopped_for_good(set()) == set()
    assert not watch.suspects
    assert watch.stopped_for_good({"two"}) == set()


@given(
    st.none() | st.integers(1, 1 << 34),
    st.none() | st.integers(1, 1 << 34),
    st.lists(st.tuples(st.integers(0, 1 << 36), st.integers(0, 50))),
)
def test_the_allowance_never_shrinks_and_nothing_within_it_is_ended(
    limit: int | None, most: int | None, reports: list[tuple[int, int]]
) -> None:
    watch = WorkerWatch(limit=limit, most=most)
    for resident, jobs in reports:
        before = watch.allowance
        assert watch.keeps_too_much(resident, jobs) == (resident > before)
        assert watch.allowance >= before
        watch.check()

"""The number of CPU slots."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.core.load import FALL, RISE, Level
from tenire.core.pool_size import RESTORE_S, PoolSize, slots_at_rest, threads_for


def settled(full: float, cores: float, *, foreign: float | None = 0.0, level: Level = Level.NORMAL) -> PoolSize:
    pool = PoolSize(full)
    for _ in range(RISE):
        pool.observe(0.0, foreign=foreign, cores=cores, level=level)
    return pool


@pytest.mark.parametrize(
    ("cores", "affinity", "quota", "reserve", "slots"),
    [
        (8, 8, None, 1, 7), (8, 4, None, 1, 3), (8, 8, 2.5, 1, 1), (8, 8, 2.5, 0, 2), (8, 8, 0.5, 1, 1),
        (4, 8, None, 1, 3), (1, 1, None, 1, 1), (8, 8, 16.0, 2, 6), (2, 2, 0.0, 1, 1),
    ],
)  # fmt: skip
def test_the_smallest_of_cores_affinity_and_quota_counts_less_the_reserve(
    cores: int, affinity: int, quota: float | None, reserve: int, slots: int
) -> None:
    assert slots_at_rest(cores=cores, affinity=affinity, quota=quota, reserve=reserve) == slots


def test_one_core_is_left_to_the_rest_of_the_machine_unless_said_otherwise() -> None:
    assert slots_at_rest(cores=8, affinity=8, quota=None) == 7


def test_slots_that_come_and_go_are_there_at_once_unless_some_are_kept_back() -> None:
    pool = PoolSize(4)
    pool.resize(2)
    assert (pool.full, pool.slots) == (2, 2)
    pool.resize(8)
    assert (pool.full, pool.slots) == (8, 8)
    loaded = settled(4, 4, level=Level.HIGH)
    loaded.resize(8)
    assert (loaded.full, loaded.slots) == (8, 2), "more come back step by step, as after any load"
    loaded.resize(1)
    loaded.check()
    assert loaded.slots == 1
    loaded.resize(0.5)
    assert loaded.slots == 0.5


@given(st.lists(st.integers(1, 8000), min_size=1, max_size=20), st.integers(0, 20_000), st.floats(0.1, 64))
def test_the_threads_of_all_who_hold_slots_fit_the_cores(held: list[int], free: int, cores: float) -> None:
    of = sum(held) + free
    threads = [threads_for(amount, of=of, cores=cores) for amount in held]
    less_than_a_core = sum(amount * cores < of for amount in held)
    assert min(threads) >= 1
    assert sum(threads) <= cores + less_than_a_core + 1e-6
    for amount, number in zip(held, threads, strict=True):
        assert (number + 1) * of > amount * cores - 1e-6  # and no core is left unused that could be used


@pytest.mark.parametrize(
    ("held", "of", "cores", "threads"),
    [
        (1, 1, 2, 2), (1, 2, 2, 1), (2, 2, 2, 2), (0, 1, 2, 1), (0, 0, 2, 1), (0.5, 1, 2, 1), (0.5, 0.5, 2, 2),
        (1, 2, 6, 3), (2, 4, 16, 8), (3, 10, 10, 3), (1, 4, 2, 1), (3, 2, 6, 6), (1, 1, 0.5, 1), (1, 2, 2.5, 1),
    ],
)  # fmt: skip
def test_a_task_may_use_as_many_threads_as_its_slots_are_worth(
    held: float, of: float, cores: float, threads: int
) -> None:
    assert threads_for(held, of=of, cores=cores) == threads


MOVES = st.lists(
    st.tuples(
        st.sampled_from([0.1, 0.9, 5.0, 60.0]),
        st.none() | st.sampled_from([0.0, 0.4, 0.6, 1.0, 1.6, 4.0, 100.0]),
        st.sampled_from(Level),
    ),
    max_size=60,
)


@given(st.sampled_from([0.3, 1, 1.5, 2, 3, 4, 16, 40]), st.sampled_from([0.5, 1, 2, 4, 16]), MOVES)
def test_the_slots_keep_their_rules_whatever_comes(
    full: float, cores: float, moves: list[tuple[float, float | None, Level]]
) -> None:
    pool, now = PoolSize(full), 0.0
    changed_at: float | None = None
    for seconds, foreign, level in moves:
        now += seconds
        before = pool.slots
        slots = pool.observe(now, foreign=foreign, cores=cores, level=level)
        pool.check()
        assert slots == pool.slots
        assert slots >= pool.least
        if level == Level.HIGH:
            assert slots <= max(pool.least, full / 2)
        if slots > before:
            assert changed_at is None or now - changed_at >= RESTORE_S
            assert slots - before <= max(1, math.ceil(full / 4))
        if slots != before:
            changed_at = now


@pytest.mark.parametrize(
    ("full", "cores", "foreign", "slots"),
    [
        (2, 2, 0.5, 2), (2, 2, 0.6, 1), (2, 2, 1.0, 1), (2, 2, 2.0, 1),  # never none
        (1, 2, 1.0, 1), (3, 4, 1.0, 3), (3, 4, 2.0, 2), (15, 16, 1.0, 15), (15, 16, 5.4, 11),
        (4, 2, 1.0, 2), (8, 2, 1.0, 4), (8, 2, 2.0, 1), (8, 2, 7.0, 1),  # more slots than cores shrink in proportion
        (0.5, 2, 2.0, 0.5), (2.5, 4, 0.2, 2.5), (2.5, 4, 2.0, 2), (2, 1.5, 1.0, 1), (4, 1, 1.0, 1),
    ],
)  # fmt: skip
def test_cores_that_others_use_are_left_to_them(full: float, cores: float, foreign: float, slots: float) -> None:
    assert settled(full, cores, foreign=foreign).slots == slots


@pytest.mark.parametrize(("level", "slots"), [(0, 8), (1, 6), (2, 4), (3, 2)])
def test_each_level_of_the_machine_takes_its_part(level: int, slots: float) -> None:
    assert settled(8, 8, level=Level(level)).slots == slots


def test_others_and_the_level_are_not_added_up() -> None:
    assert settled(8, 8, foreign=4.0, level=Level.HIGH).slots == 4
    assert settled(8, 8, foreign=6.0, level=Level.HIGH).slots == 2


def test_a_short_spike_takes_nothing() -> None:
    pool = PoolSize(2)
    for now, foreign in enumerate([2.0, 0.0, 2.0, 0.0]):
        assert pool.observe(now, foreign=foreign, cores=2.0, level=Level.NORMAL) == 2
    assert pool.taken == 0


def test_a_measurement_below_nothing_is_nobody() -> None:
    assert settled(2, 2, foreign=-2.0).taken == 0


def test_a_sample_that_cannot_be_seen_changes_nothing() -> None:
    pool = settled(2, 2, foreign=1.0)
    for now in range(2 * FALL):
        assert pool.observe(float(now), foreign=None, cores=None, level=Level.NORMAL) == 1
    assert pool.taken == 1


@pytest.mark.parametrize("full", [2, 3, 4, 5, 16, 64])
@pytest.mark.parametrize("interval", [0.72, 0.8, 0.88])
def test_another_program_is_made_room_for_within_three_seconds_and_the_slots_are_back_within_thirty(
    full: float, interval: float
) -> None:
    pool, now = PoolSize(full), 0.0
    began = 10.0 + interval / 2
    stepped_back = back = None
    while now < 200:
        now += interval
        # What the sample sees is the mean over its interval.
        share = min(1.0, max(0.0, (now - began) / interval)) if now < 100 else 0.0
        pool.observe(now, foreign=share * full, cores=full, level=Level.NORMAL)
        if stepped_back is None and pool.slots < full:
            stepped_back = now - began
        if now > 100 and back is None and pool.slots == full:
            back = now - 100
    assert stepped_back is not None
    assert stepped_back < 3
    assert back is not None
    assert back < 30


def test_the_check_sees_too_few_slots() -> None:
    pool = PoolSize(2)
    pool.slots = 0.5
    with pytest.raises(AssertionError):
        pool.check()


def test_it_is_steady_once_more_of_the_same_changes_nothing() -> None:
    pool = PoolSize(2)
    assert pool.steady
    seen = []
    for now, foreign in enumerate([0.0, 1.0, 1.0] + [0.0] * (FALL + 1)):
        pool.observe(now * 0.8, foreign=foreign, cores=2.0, level=Level.NORMAL)
        seen.append(pool.steady)
    assert seen == [True, False, True] + [False] * (FALL - 1) + [True, True]


def test_it_is_not_steady_while_slots_are_on_their_way_back() -> None:
    pool = settled(8, 8, level=Level.HIGH)
    assert pool.steady
    pool.observe(100.0, foreign=0.0, cores=8.0, level=Level.NORMAL)
    assert not pool.steady
    pool.observe(110.0, foreign=0.0, cores=8.0, level=Level.NORMAL)
    assert pool.slots == 8
    assert pool.steady


def test_a_step_back_comes_five_seconds_after_the_last_change_and_not_before() -> None:
    assert RESTORE_S == 5.0
    pool = settled(8, 8, level=Level.HIGH)
    slots = [
        pool.observe(now, foreign=0.0, cores=8.0, level=Level.NORMAL) for now in (4.9, RESTORE_S, 9.9, 2 * RESTORE_S)
    ]
    assert slots == [4, 6, 6, 8]

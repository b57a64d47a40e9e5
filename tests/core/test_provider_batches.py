"""Batches at a provider: where files are cut, when to look, which way, and what after a refusal."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.core.batch_choice import Mode, in_batch
from tenire.core.batch_files import FileCut, halving
from tenire.core.batch_looks import Looks
from tenire.core.batch_refusal import MOST_TRIES, Refusal, Step, after_refusal

SIZES = st.lists(st.integers(1, 50), max_size=60)


@given(sizes=SIZES, lines=st.integers(1, 8), size=st.integers(50, 120))
def test_files_keep_both_bounds_and_end_only_when_the_next_line_does_not_fit(
    sizes: list[int], lines: int, size: int
) -> None:
    cut = FileCut(lines=lines, size=size)
    files: list[list[int]] = [[]]
    for one in sizes:
        assert cut.fits(one)
        if cut.add(one):
            files.append([])
        files[-1].append(one)
        cut.check()
    assert [one for file in files for one in file] == sizes
    assert all(len(file) <= lines and sum(file) <= size for file in files)
    for file, after in pairwise(files):
        assert file
        assert len(file) == lines or sum(file) + after[0] > size


def test_a_line_that_no_file_can_hold_does_not_fit() -> None:
    assert [FileCut(lines=9, size=100).fits(size) for size in (100, 101)] == [True, False]


@given(sizes=st.lists(st.integers(1, 50), min_size=2, max_size=60))
def test_halves_have_lines_and_are_as_even_as_the_lines_allow(sizes: list[int]) -> None:
    place = halving(sizes)
    assert 0 < place < len(sizes)
    found = abs(sum(sizes[:place]) - sum(sizes[place:]))
    assert found == min(abs(sum(sizes[:other]) - sum(sizes[other:])) for other in range(1, len(sizes)))


def looks(**options: float) -> Looks:
    values = {"least": 5.0, "most": 300.0, "part": 0.1, "spacing": 1.0, **options}
    return Looks(**values, rng=random.Random(1))


@given(begun=st.floats(0, 1e6), takes=st.floats(0, 86_400))
def test_an_end_is_seen_late_by_a_part_of_the_time_and_looks_are_few(begun: float, takes: float) -> None:
    pace, now, count = looks(), begun, 0
    while now < begun + takes:
        at = pace.next_at(begun, now)
        assert now + 4.999 <= at <= now + 300.001
        now, count = at, count + 1
    assert now - (begun + takes) <= max(5.0, 0.1 * takes) + 0.001
    assert count <= 1 + 10 + 45 + takes / 300  # least, then growing by a tenth, then most


@given(failures=st.integers(1, 100), asked=st.floats(0, 5000))
def test_failed_looks_come_later_and_not_before_the_time_asked_for(failures: int, asked: float) -> None:
    at = looks().next_at(0.0, 100.0, failures=failures, not_before=asked)
    assert at >= asked
    if asked <= 100:
        assert 100 + min(300, 10 * 2**failures) / 2 <= at <= 100 + min(300, 10 * 2**failures)


@given(steps=st.lists(st.floats(0, 2), min_size=1, max_size=50))
def test_all_looks_together_keep_their_distance(steps: list[float]) -> None:
    pace, now, taken = looks(), 0.0, []
    for step in steps:
        now += step
        taken.append(pace.turn(now))
        assert taken[-1] >= now
    assert all(after - before >= 0.999 for before, after in pairwise(taken))


@given(
    mode=st.sampled_from(Mode),
    left=st.none() | st.floats(0, 2e5),
    window=st.floats(1, 1e5),
    spare=st.floats(0, 1e4),
    cost=st.none() | st.integers(0, 100),
    batch_cost=st.none() | st.integers(0, 100),
)
def test_in_time_first_and_then_cheap(
    mode: Mode, left: float | None, window: float, spare: float, cost: int | None, batch_cost: int | None
) -> None:
    found = in_batch(mode, left=left, window=window, spare=spare, cost=cost, batch_cost=batch_cost)
    if mode is not Mode.AUTO:
        assert found == (mode is Mode.BATCH)
        return
    late = left is not None and window + spare > left
    cheap = cost is not None and batch_cost is not None and batch_cost < cost
    assert found == (cheap and not late)
    if found:  # with more time it stays in the batch
        more = None if left is None else left + 1
        assert in_batch(mode, left=more, window=window, spare=spare, cost=cost, batch_cost=batch_cost)


@pytest.mark.parametrize(
    ("why", "lines", "tries", "others", "step"),
    [
        (Refusal.FINAL, 9, 1, 0, Step.GIVE_UP),
        (Refusal.TOO_LARGE, 2, 1, 5, Step.HALVE),
        (Refusal.TOO_LARGE, 1, 1, 0, Step.GIVE_UP),
        (Refusal.TOO_MUCH, 9, 99, 1, Step.WAIT),
        (Refusal.TOO_MUCH, 9, 1, 0, Step.WAIT),
        (Refusal.TOO_MUCH, 9, 2, 0, Step.HALVE),
        (Refusal.TOO_MUCH, 1, 2, 0, Step.WAIT),
        (Refusal.TOO_MUCH, 1, MOST_TRIES, 0, Step.GIVE_UP),
        (Refusal.FAILED, 9, MOST_TRIES - 1, 0, Step.WAIT),
        (Refusal.FAILED, 9, MOST_TRIES, 3, Step.GIVE_UP),
    ],
)
def test_what_is_done_with_a_batch_that_was_not_taken(
    why: Refusal, lines: int, tries: int, others: int, step: Step
) -> None:
    assert after_refusal(why, lines=lines, tries=tries, others=others) is step


@given(why=st.sampled_from(Refusal), lines=st.integers(1, 50_000))
def test_handing_over_always_ends(why: Refusal, lines: int) -> None:
    steps = 0
    while lines:
        tries = 1
        while (step := after_refusal(why, lines=lines, tries=tries, others=0)) is Step.WAIT:
            tries, steps = tries + 1, steps + 1
        lines = lines // 2 if step is Step.HALVE else 0
    assert steps <= 17 * MOST_TRIES

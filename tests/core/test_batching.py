"""Micro-batches: a state machine against a plain list, the size, and the halves."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tenire.core.batch_size import BatchSize
from tenire.core.batching import Batch, Batching


class BatchingMachine(RuleBasedStateMachine):
    """Items are numbers in the order in which they came; each must end exactly once."""

    def __init__(self) -> None:
        super().__init__()
        self.batching: Batching[int] = Batching(most=4, max_delay=2.0, target=3.0, places=2, most_weight=10)
        self.weights: list[int] = []
        self.now = 0.0
        self.added = 0
        self.waiting: list[int] = []  # never in a batch yet
        self.halves: list[int] = []
        self.running: list[Batch[int]] = []
        self.ended: list[int] = []

    @rule(deadline=st.one_of(st.just(math.inf), st.floats(0, 5)), weight=st.integers(0, 14))
    def add(self, deadline: float, weight: int) -> None:
        self.batching.add(self.added, self.now, self.now + deadline, weight)
        self.weights.append(weight)
        self.waiting.append(self.added)
        self.added += 1

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 2.0, 5.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def take(self) -> None:
        due, idle = self.batching.due_at(), not self.running
        batch = self.batching.take(self.now)
        assert (batch is not None) == (due <= self.now)
        if batch is None:
            return
        assert 1 <= len(batch.items) <= 4
        assert len(self.running) < 2
        source = self.halves if self.halves else self.waiting
        if source is self.waiting:
            assert batch.items == self.waiting[: len(batch.items)]
            weight = sum(self.weights[item] for item in batch.items)
            assert weight <= 10 or len(batch.items) == 1
            rest = self.waiting[len(batch.items) :]
            full = len(batch.items) == self.batching.limit or not rest
            assert full or weight + self.weights[rest[0]] > 10
        for item in batch.items:
            source.remove(item)
        assert idle or len(self.running) == 1
        self.running.append(batch)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), how=st.sampled_from(["end", "fail", "give_up"]))
    def stop(self, data: st.DataObject, how: str) -> None:
        batch = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        if how == "end":
            self.batching.end(batch, self.now)
            self.ended += batch.items
            return
        if how == "give_up":
            self.batching.give_up(batch)
            self.ended += batch.items
            return
        wanted = [item for item in batch.items if data.draw(st.booleans())] if data.draw(st.booleans()) else None
        if self.batching.fail(batch, wanted) is None:
            assert len(batch.items) > 1
            again = batch.items if wanted is None else wanted
            self.halves += again
            self.ended += [item for item in batch.items if item not in again]
        else:
            assert len(batch.items) == 1
            self.ended += batch.items

    @precondition(lambda self: self.waiting or self.halves or self.running)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        item = data.draw(st.integers(0, self.added - 1))
        place = next((items for items in (self.waiting, self.halves) if item in items), None)
        assert self.batching.remove(item) == (place is not None)
        if place is not None:
            place.remove(item)
            self.ended.append(item)

    @invariant()
    def everything_is_in_one_place(self) -> None:
        self.batching.check()
        assert len(self.batching) == len(self.waiting) + len(self.halves)
        assert self.batching.running == len(self.running)
        inside = [item for batch in self.running for item in batch.items]
        assert sorted(self.waiting + self.halves + inside + self.ended) == list(range(self.added))

    @invariant()
    def nobody_waits_while_nothing_runs(self) -> None:
        if len(self.batching) and not self.running:
            assert self.batching.due_at() <= self.now
        if not len(self.batching) or len(self.running) == 2:
            assert self.batching.due_at() == math.inf


TestBatching = BatchingMachine.TestCase
TestBatching.settings = settings(stateful_step_count=50)


def busy(*, most: int = 8, max_delay: float = 1.0) -> Batching[int]:
    """A batching of two places, one of which is taken by a batch that took half a second before."""
    batching: Batching[int] = Batching(most=most, max_delay=max_delay, places=2)
    batching.add(-2, 0.0)
    batch = batching.take(0.0)
    assert batch is not None
    batching.end(batch, 0.5)
    batching.add(-1, 1000.0)
    assert batching.take(1000.0) is not None
    return batching


def test_the_first_item_goes_alone_and_those_that_come_meanwhile_go_together() -> None:
    batching: Batching[int] = Batching(most=10)
    batching.add(0, 0.0)
    first = batching.take(0.0)
    assert first is not None
    for number in range(1, 5):
        batching.add(number, 0.0)
    assert batching.take(9.0) is None
    batching.end(first, 9.0)
    second = batching.take(9.0)
    assert second is not None
    assert (first.items, second.items) == ([0], [1, 2, 3, 4])


def test_an_item_waits_for_others_for_a_limited_time() -> None:
    batching = busy()
    batching.add(1, 1001.0)
    assert batching.due_at() == 1002.0
    batching.add(2, 1001.9)
    assert batching.due_at() == 1002.0


def test_a_full_batch_does_not_wait() -> None:
    batching = busy(most=3)
    for number in range(3):
        assert batching.take(1001.0) is None
        batching.add(number, 1001.0)
    assert batching.take(1001.0) is not None


def test_an_item_that_waits_in_a_half_can_be_taken_out() -> None:
    batching: Batching[str] = Batching(most=3)
    for name in ("a", "b", "c"):  # items are told apart by identity
        batching.add(name, 0.0)
    batch = batching.take(0.0)
    assert batch is not None
    assert batching.fail(batch) is None  # a, and b with c, run again
    assert batching.remove("b")
    assert batching.remove("a")
    assert not batching.remove("a")
    left = batching.take(0.0)
    assert left is not None
    assert left.items == ["c"]
    assert len(batching) == 0


def test_a_heavy_queue_does_not_wait_and_goes_in_as_many_batches_as_it_takes() -> None:
    batching: Batching[str] = Batching(most=100, max_delay=1.0, places=9, most_weight=10)
    batching.add("first", 0.0)
    assert batching.take(0.0) is not None
    now = 1000.0
    batching.add("a", now, weight=6)
    assert batching.take(now) is None
    batching.add("b", now, weight=3)
    assert batching.take(now) is None
    batching.add("c", now, weight=2)
    batching.add("huge", now, weight=50)
    batches = []
    while (batch := batching.take(now)) is not None:
        batches.append(batch.items)
    assert batches == [["a", "b"], ["c"], ["huge"]]


def test_an_item_does_not_wait_beyond_what_its_deadline_allows() -> None:
    batching = busy()
    batching.add(1, 1001.0, 1001.8)  # a batch takes half a second, and this one may take half as long again
    assert batching.due_at() == pytest.approx(1001.05)


def test_an_item_does_not_wait_for_others_that_are_not_to_be_expected() -> None:
    batching = busy(max_delay=100.0)
    for number in range(60):
        batching.add(number, 1000.0 + number * 0.01)
        batching.remove(number)
    batching.add(60, 1000.6)
    # Seven more would fill the batch, one comes each hundredth of a second.
    assert 1000.6 < batching.due_at() < 1000.7


@given(st.integers(1, 64), st.sets(st.integers(0, 63)))
def test_halving_finds_every_bad_item_and_spares_all_others(number: int, bad: set[int]) -> None:
    batching: Batching[int] = Batching(most=64)
    for item in range(number):
        batching.add(item, 0.0)
    found, good, calls = set(), [], 0
    while (batch := batching.take(0.0)) is not None:
        calls += 1
        if bad.isdisjoint(batch.items):
            good += batch.items
            batching.end(batch, 0.0)
        elif (item := batching.fail(batch)) is not None:
            found.add(item)
    expected = {item for item in bad if item < number}
    assert found == expected
    assert good == [item for item in range(number) if item not in bad]
    assert calls <= 1 + 2 * len(expected) * (math.ceil(math.log2(number)) if number > 1 else 0)


def served(size: BatchSize, each: float, batches: int, now: float = 0.0) -> float:
    """Let full batches follow each other, each item taking ``each`` seconds."""
    for _ in range(batches):
        seconds = 0.1 + each * size.limit
        size.end(size.limit, now, now + seconds)
        size.check()
        now += seconds
    return now


@pytest.mark.parametrize(("each", "fits"), [(0.01, 90), (0.1, 9), (0.0011, 256), (2.0, 1)])
def test_the_size_settles_where_a_batch_takes_as_long_as_it_may(each: float, fits: int) -> None:
    size = BatchSize(most=256, target=1.0)
    served(size, each, 400)
    assert 0.85 * fits <= size.limit <= fits + 1


def test_the_size_follows_when_the_work_changes() -> None:
    size = BatchSize(most=256, target=1.0)
    now = served(size, 0.01, 200)
    now = served(size, 0.1, 60, now)
    assert 7 <= size.limit <= 10
    served(size, 0.01, 400, now)
    assert size.limit >= 75


def test_batches_that_ran_together_lower_the_size_once() -> None:
    size = BatchSize(most=64, target=1.0)
    size.end(4, 0.0, 0.5)
    assert size.limit == 8
    for _ in range(5):
        size.end(8, 1.0, 5.0)
    assert size.limit == 7
    size.end(7, 5.0, 9.0)
    assert size.limit == 6


def test_what_says_nothing_about_the_size_does_not_change_it() -> None:
    size = BatchSize(most=64, target=1.0)
    size.end(3, 0.0, 0.1)  # not full
    size.end(1, 0.0, 9.0)  # would take as long in any batch
    assert size.limit == 4
    fixed = BatchSize(most=64, target=None)
    fixed.end(64, 0.0, 1e9)
    assert fixed.limit == 64


@pytest.mark.parametrize(
    "wrong",
    [
        {"most": 0},
        {"places": 0},
        {"places": 1.5},
        {"max_delay": -1},
        {"target": 0},
        {"target": math.inf},
        {"most_weight": 0},
    ],
)
def test_impossible_settings_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        Batching(**wrong)

"""The heap of deadlines against a sorted list."""

from __future__ import annotations

import gc
from functools import partial
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.concurrency.interrupts import Interrupt

from tenire.core import deadlines
from tenire.core.deadlines import SLACK, DeadlineHeap, Entry

DUE = st.integers(0, 12)


class HeapMachine(RuleBasedStateMachine):
    """Few times and payloads, so that they meet again and again."""

    def __init__(self) -> None:
        super().__init__()
        self.heap: DeadlineHeap[str] = DeadlineHeap()
        self.entries: list[Entry[str]] = []
        self.model: list[tuple[int, int, str, int]] = []  # due, number of the entry, payload, latest
        self.slack, deadlines.SLACK = deadlines.SLACK, 3

    def teardown(self) -> None:
        deadlines.SLACK = self.slack

    @rule(due=DUE, payload=st.sampled_from("abc"), slack=st.sampled_from([0, 0, 0, 2, 5]))
    def add(self, due: int, payload: str, slack: int) -> None:
        self.model.append((due, len(self.entries), payload, due + slack))
        self.entries.append(self.heap.add(due, payload, slack))

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if self.entries:
            number = data.draw(st.integers(0, len(self.entries) - 1))
            alive = [item for item in self.model if item[1] == number]
            assert self.heap.cancel(self.entries[number]) == bool(alive)
            self.model = [item for item in self.model if item[1] != number]

    @rule(now=DUE, most=st.sampled_from([None, None, 1, 3]))
    def take(self, now: int, most: int | None) -> None:
        taken = self.heap.take_due(now, most)
        numbers = [self.entries.index(entry) for entry, _ in taken]
        out = [item for item in self.model if item[1] in numbers]
        left = [item for item in self.model if item[1] not in numbers]
        assert [(due, number, payload) for due, number, payload, _ in sorted(out)] == [
            (entry.due, number, payload) for number, (entry, payload) in zip(numbers, taken, strict=True)
        ]
        assert all(due <= now for due, *_ in out)
        if len(taken) != most:
            # What must come out does; what has slack left waits only behind what is not due.
            assert all(latest > now for *_, latest in left)
            first = min(((latest, number, due) for due, number, _, latest in left), default=None)
            assert first is None or first[2] > now
        self.model = left

    @rule(by=st.integers(1, 4), payload=st.sampled_from("abc"))
    def bring_forward(self, by: int, payload: str) -> None:
        self.heap.bring_forward(by, lambda entry: entry.payload == payload)
        self.model = [
            (due - by, number, each, latest - by) if each == payload else (due, number, each, latest)
            for due, number, each, latest in self.model
        ]

    @rule()
    def look(self) -> None:
        first = min(((latest, number, payload) for _, number, payload, latest in self.model), default=None)
        assert self.heap.next_due() == (None if first is None else first[0])
        assert self.heap.first() == (None if first is None else first[2])

    @invariant()
    def agrees(self) -> None:
        self.heap.check()
        assert len(self.heap) == self.heap.live == len(self.model)


TestHeap = HeapMachine.TestCase
TestHeap.settings = settings(stateful_step_count=60)


def test_cancelled_entries_do_not_pile_up() -> None:
    heap: DeadlineHeap[int] = DeadlineHeap()
    kept = [heap.add(10**9 + number, number) for number in range(10)]
    for number in range(20_000):
        assert heap.cancel(heap.add(10**12, number))
        assert len(heap._heap) <= 2 * heap.live + SLACK + 1
    heap.check()
    assert heap.pop_due(10**9 + 9) == list(range(10))
    assert not heap.cancel(kept[0])


def test_times_that_overlap_come_out_together() -> None:
    heap: DeadlineHeap[str] = DeadlineHeap()
    for due, payload in ((8, "c"), (0, "a"), (5, "b"), (11, "not due")):
        heap.add(due, payload, slack=10)
    assert heap.next_due() == 10
    assert heap.pop_due(10) == ["a", "b", "c"]
    assert heap.next_due() == 21


def test_what_has_no_slack_is_due_at_its_time() -> None:
    heap: DeadlineHeap[str] = DeadlineHeap()
    heap.add(5, "x")
    assert heap.next_due() == 5


def test_what_is_due_at_one_time_comes_out_as_it_was_added_whatever_its_slack() -> None:
    heap: DeadlineHeap[str] = DeadlineHeap()
    heap.add(5, "first", slack=10)
    heap.add(5, "second")
    assert heap.pop_due(5) == ["first", "second"]


def test_a_cancelled_entry_holds_nothing_back_that_is_due() -> None:
    heap: DeadlineHeap[str] = DeadlineHeap()
    later = heap.add(8, "later")
    heap.add(1, "now", slack=10)
    heap.cancel(later)
    assert heap.pop_due(2) == ["now"]


@pytest.mark.parametrize("live", [0, 5])
def test_the_heap_is_pruned_only_when_cancelled_entries_outnumber_the_live_ones(live: int) -> None:
    # Each time costs as much as there are entries, so that one in as many cancels may.
    heap: DeadlineHeap[str] = DeadlineHeap()
    for due in range(live):
        heap.add(due, "live")
    for entry in [heap.add(10**9, "stale") for _ in range(live + SLACK)]:
        heap.cancel(entry)
    assert len(heap._heap) == 2 * live + SLACK, "nothing was pruned"
    heap.cancel(heap.add(10**9, "one too many"))
    assert len(heap._heap) == live


class Meddler(Entry[str]):
    """When it is freed it cancels the rest, by which the heap is pruned, and adds one more."""

    rest: Entry[str]
    heap: DeadlineHeap[str]

    def __del__(self) -> None:
        self.heap.cancel(self.rest)
        self.heap.add(1, "from a finaliser")


@pytest.fixture
def meddled(monkeypatch: pytest.MonkeyPatch) -> DeadlineHeap[str]:
    monkeypatch.setattr(deadlines, "SLACK", -1)  # each cancel prunes
    heap: DeadlineHeap[str] = DeadlineHeap()
    meddler = Meddler(2, "x")
    heap.put(meddler, 2)
    meddler.heap, meddler.rest = heap, heap.add(3, "rest")
    meddler.payload = None  # cancelled, and not pruned yet
    heap.live -= 1
    return heap


def test_a_finaliser_that_prunes_the_heap_while_it_is_looked_at_is_seen(meddled: DeadlineHeap[str]) -> None:
    assert meddled.next_due() == 1


def test_a_finaliser_that_prunes_the_heap_while_it_is_emptied_is_seen(meddled: DeadlineHeap[str]) -> None:
    assert meddled.pop_due(3) == ["from a finaliser"]


class Nosy:
    """Adds to the heap when it is collected, in the middle of whatever goes on."""

    def __init__(self, heap: DeadlineHeap[Any]) -> None:
        self.heap = heap
        self.itself = self

    def __del__(self) -> None:
        self.heap.add(5, "from a finaliser")


def test_a_finaliser_that_adds_while_the_heap_is_pruned_loses_nothing() -> None:
    heap: DeadlineHeap[Any] = DeadlineHeap()
    entries = [heap.add(10, number) for number in range(3 * SLACK)]
    Nosy(heap)

    def collects(_: object) -> bool:
        gc.collect()  # once per entry, so in the middle
        return False

    for entry in entries[5:]:
        heap.cancel(entry)
    heap.bring_forward(1, collects)
    heap.check()
    assert heap.pop_due(9) == ["from a finaliser"]
    assert heap.pop_due(10) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("act", ["add", "prune"])
def test_an_interrupt_at_any_point_loses_no_entry(act: str) -> None:
    struck, gone_on = 0, True
    gc.collect()  # an interrupt in a finaliser of other tests is lost
    while gone_on:
        heap: DeadlineHeap[int] = DeadlineHeap()
        for number in range(3):
            heap.add(5, number)
        stale = [heap.add(9, 9) for _ in range(SLACK + 4)]
        for entry in stale[1:]:
            heap.cancel(entry)
        acts = {"add": partial(heap.add, 7, 7), "prune": partial(heap.cancel, stale[0])}
        gone_on = Interrupt(struck + 1, (deadlines.__file__,)).strikes(acts[act])
        struck += gone_on
        heap.check()
        assert heap.pop_due(5) == [0, 1, 2], struck
    assert struck > 1


def test_the_check_sees_a_broken_heap() -> None:
    heap: DeadlineHeap[str] = DeadlineHeap()
    for due in (1, 2, 3):
        heap.add(due, "x")
    heap._heap.reverse()
    with pytest.raises(AssertionError):
        heap.check()

"""The heap of deadlines against a sorted list."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tenire.core import deadlines
from tenire.core.deadlines import SLACK, DeadlineHeap, Entry

DUE = st.integers(0, 12)


class HeapMachine(RuleBasedStateMachine):
    """Few times and payloads, so that they meet again and again."""

    def __init__(self) -> None:
        super().__init__()
        self.heap: DeadlineHeap[str] = DeadlineHeap()
        self.entries: list[Entry[str]] = []
        self.model: list[tuple[int, int, str]] = []  # due, number of the entry, payload
        self.slack, deadlines.SLACK = deadlines.SLACK, 3

    def teardown(self) -> None:
        deadlines.SLACK = self.slack

    @rule(due=DUE, payload=st.sampled_from("abc"))
    def add(self, due: int, payload: str) -> None:
        self.model.append((due, len(self.entries), payload))
        self.entries.append(self.heap.add(due, payload))

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if self.entries:
            number = data.draw(st.integers(0, len(self.entries) - 1))
            alive = [item for item in self.model if item[1] == number]
            assert self.heap.cancel(self.entries[number]) == bool(alive)
            self.model = [item for item in self.model if item[1] != number]

    @rule(now=DUE)
    def pop(self, now: int) -> None:
        due = sorted(item for item in self.model if item[0] <= now)
        assert self.heap.pop_due(now) == [payload for _, _, payload in due]
        self.model = [item for item in self.model if item[0] > now]

    @rule()
    def look(self) -> None:
        first = min(self.model, default=None)
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


def test_the_check_sees_a_broken_heap() -> None:
    heap: DeadlineHeap[str] = DeadlineHeap()
    for due in (1, 2, 3):
        heap.add(due, "x")
    heap._heap.reverse()
    with pytest.raises(AssertionError):
        heap.check()

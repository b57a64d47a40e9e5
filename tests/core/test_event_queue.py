"""The queue of one subscriber against a list."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tenire.core.event_queue import EventQueue
from tenire.errors import ConfigError


class QueueMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.queue: EventQueue[int] = EventQueue()
        self.model: list[tuple[int, bool]] = []
        self.capacity = self.dropped = self.number = 0

    @initialize(policy=st.sampled_from(["latest", "drop_oldest", "block"]), capacity=st.integers(1, 4))
    def begin(self, policy: Any, capacity: int) -> None:
        self.queue = EventQueue(policy, capacity)
        self.capacity = 1 if policy == "latest" else capacity

    @rule(terminal=st.booleans(), insist=st.booleans())
    def put(self, terminal: bool, insist: bool) -> None:
        self.number += 1
        ordinary = [item for item in self.model if not item[1]]
        no_room = not terminal and len(ordinary) >= self.capacity
        refused = no_room and self.queue.policy == "block" and not insist
        assert self.queue.full == (self.queue.policy == "block" and len(ordinary) >= self.capacity)
        assert self.queue.put(self.number, terminal=terminal, insist=insist) == (not refused)
        if refused:
            return
        if no_room:
            self.model.remove(ordinary[0])
            self.dropped += 1
        self.model.append((self.number, terminal))

    @rule()
    def take(self) -> None:
        if self.model:
            assert self.queue.take() == self.model.pop(0)[0]
        else:
            with pytest.raises(IndexError):
                self.queue.take()

    @rule()
    def give_back(self) -> None:
        self.number += 1
        self.queue.give_back(self.number)
        self.model.insert(0, (self.number, True))  # as one that takes no room

    @rule()
    def clear(self) -> None:
        self.queue.clear()
        self.model.clear()

    @invariant()
    def agrees(self) -> None:
        self.queue.check()
        assert len(self.queue) == self.queue.size == len(self.model)
        assert self.queue.dropped == self.dropped


TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(stateful_step_count=60)


@pytest.mark.parametrize(
    ("key", "policy", "capacity"),
    [("policy", "newest", 1), ("capacity", "block", 0), ("capacity", "block", True), ("capacity", "block", 2.5)],
)
def test_impossible_arguments_are_refused(key: str, policy: Any, capacity: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        EventQueue(policy, capacity)
    assert caught.value.key == key

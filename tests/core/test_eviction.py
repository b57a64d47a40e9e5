"""What a cache keeps, against a model that remembers every use."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tenire.core.eviction import Eviction
from tenire.errors import ConfigError

CAPACITY, TTL = 10, 8.0
KEYS = st.sampled_from("abcdef")


class Uses(RuleBasedStateMachine):
    """Entries come, are used, grow old and go."""

    def __init__(self) -> None:
        super().__init__()
        self.core: Eviction[str] = Eviction(CAPACITY, ttl=TTL)
        self.now = 0.0
        self.model: dict[str, tuple[int, float, int]] = {}  # size, born, last use
        self.uses = 0

    def used(self) -> int:
        self.uses += 1
        return self.uses

    def too_old(self, key: str) -> bool:
        return self.now >= self.model[key][1] + TTL

    @rule(seconds=st.sampled_from([0.1, 1.0, 3.0, TTL]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(key=KEYS, size=st.integers(0, CAPACITY + 1))
    def add(self, key: str, size: int) -> None:
        self.model.pop(key, None)
        expected = []
        if size > CAPACITY:
            expected = [key]
        else:
            while sum(entry[0] for entry in self.model.values()) + size > CAPACITY:
                oldest = min(self.model, key=lambda other: self.model[other][2])
                del self.model[oldest]
                expected.append(oldest)
            self.model[key] = size, self.now, self.used()
        assert self.core.add(key, size, self.now) == expected

    @rule(key=KEYS)
    def find(self, key: str) -> None:
        hits, misses = self.core.hits, self.core.misses
        there = key in self.model and not self.too_old(key)
        assert self.core.find(key, self.now) == there
        assert (self.core.hits, self.core.misses) == (hits + there, misses + (not there))
        if there:
            self.model[key] = (*self.model[key][:2], self.used())

    @rule(key=KEYS)
    def remove(self, key: str) -> None:
        assert self.core.remove(key) == (self.model.pop(key, None) is not None)

    @rule(most=st.integers(0, CAPACITY))
    def shrink(self, most: int) -> None:
        gone = self.core.shrink(most)
        by_use = sorted(self.model, key=lambda key: self.model[key][2])
        assert gone == by_use[: len(gone)]
        for key in gone:
            assert sum(entry[0] for entry in self.model.values()) > most, "it took more than it had to"
            del self.model[key]
        assert sum(entry[0] for entry in self.model.values()) <= most

    @rule()
    def expire(self) -> None:
        expected = {key for key in self.model if self.too_old(key)}
        assert set(self.core.expire(self.now)) == expected
        for key in expected:
            del self.model[key]

    @invariant()
    def it_keeps_what_the_model_keeps(self) -> None:
        self.core.check()
        assert len(self.core) == len(self.model)
        assert self.core.used == sum(entry[0] for entry in self.model.values())
        at = self.core.next_at()
        assert at == (min(entry[1] for entry in self.model.values()) + TTL if self.model else None)


TestUses = Uses.TestCase
TestUses.settings = settings(max_examples=150, stateful_step_count=50)


def test_at_the_time_that_is_told_something_is_too_old() -> None:
    core: Eviction[str] = Eviction(CAPACITY, ttl=0.1)
    for now in (0.3, 0.7, 1e9 / 3, 1e15 + 0.3):
        core.add("a", 1, now)
        at = core.next_at()
        assert at is not None
        assert core.expire(at) == ["a"], "whoever wakes exactly then would spin"


def test_without_a_ttl_nothing_grows_too_old() -> None:
    core: Eviction[str] = Eviction(CAPACITY)
    core.add("a", 1, 0.0)
    assert core.next_at() is None
    assert core.expire(1e18) == []
    assert core.find("a", 1e18)


def test_what_goes_is_counted_by_its_reason() -> None:
    core: Eviction[str] = Eviction(CAPACITY, ttl=TTL)
    core.add("a", CAPACITY, 0.0)
    core.add("b", CAPACITY, 0.0)
    core.add("c", CAPACITY + 1, 0.0)
    assert (core.evicted, core.expired) == (2, 0)
    core.expire(TTL)
    assert (core.evicted, core.expired) == (2, 1)


def test_less_than_nothing_is_nothing() -> None:
    core: Eviction[str] = Eviction(CAPACITY)
    core.add("a", 1, 0.0)
    assert core.shrink(-1) == ["a"]


@pytest.mark.parametrize("capacity", [0, -1, math.inf, math.nan, "1", True])
def test_an_impossible_capacity_is_refused(capacity: Any) -> None:
    with pytest.raises(ConfigError, match="capacity"):
        Eviction(capacity)


@pytest.mark.parametrize("ttl", [0.0, -1.0, math.inf, math.nan, "1", True])
def test_an_impossible_ttl_is_refused(ttl: Any) -> None:
    with pytest.raises(ConfigError, match="ttl"):
        Eviction(1, ttl=ttl)

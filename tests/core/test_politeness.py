"""Visits of hosts, at random times: the rules seen from outside."""

from __future__ import annotations

import math

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tenire.core.politeness import Politeness

DELAY, AT_ONCE = 1.0, 2
HOSTS = st.sampled_from(["a", "b", "c"])


class PolitenessMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.core = Politeness(delay=DELAY, at_once=AT_ONCE)
        self.now = 0.0
        self.began: dict[str, float] = {}
        self.delays: dict[str, float] = {}
        self.not_before: dict[str, float] = {}
        self.inside: list[str] = []

    def due(self, host: str) -> float:
        after = self.began.get(host, -math.inf) + self.delays.get(host, DELAY)
        return max(after, self.not_before.get(host, -math.inf))

    @rule(host=HOSTS)
    def ask(self, host: str) -> None:
        when = self.core.reserve(host, self.now)
        if self.inside.count(host) == AT_ONCE:
            assert when == math.inf
        elif self.due(host) > self.now:
            assert when == self.due(host)
        else:
            assert when == self.now
            self.began[host] = self.now
            self.inside.append(host)

    @rule(host=HOSTS)
    def wait_as_long_as_told(self, host: str) -> None:
        when = self.core.reserve(host, self.now)
        if when == self.now:
            self.began[host] = self.now
            self.inside.append(host)
        elif when < math.inf:
            self.now = when
            assert self.core.reserve(host, self.now) == self.now
            self.began[host] = self.now
            self.inside.append(host)

    @precondition(lambda self: self.inside)
    @rule(place=st.integers(0, 5))
    def leave(self, place: int) -> None:
        self.core.leave(self.inside.pop(place % len(self.inside)))

    @rule(seconds=st.sampled_from([0.25, 0.5, 1.0, 3.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(host=HOSTS, delay=st.sampled_from([0.5, 2.0, 4.0]))
    def it_asks_for_a_longer_delay(self, host: str, delay: float) -> None:
        self.core.slow_down(host, delay, self.now)
        self.delays[host] = max(self.delays.get(host, DELAY), delay)

    @rule(host=HOSTS, seconds=st.sampled_from([0.5, 5.0]))
    def it_asks_to_be_left_alone(self, host: str, seconds: float) -> None:
        self.core.leave_alone(host, self.now + seconds, self.now)
        self.not_before[host] = max(self.not_before.get(host, -math.inf), self.now + seconds)

    @invariant()
    def the_rules_hold(self) -> None:
        self.core.check()


TestPoliteness = PolitenessMachine.TestCase


def test_hosts_that_nobody_visits_are_forgotten_but_not_what_they_asked_for() -> None:
    core = Politeness(delay=1.0, at_once=1)
    core.slow_down("slow", 60.0, 0.0)
    for number in range(5000):
        now = 10.0 * number
        assert core.reserve(f"h{number}", now) == now
        core.leave(f"h{number}")
    assert len(core._hosts) <= 1100
    now = 1e6
    assert core.reserve("slow", now) == now
    core.leave("slow")
    assert core.reserve("slow", now + 1) == now + 60.0

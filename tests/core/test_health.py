"""Health of components: suspended after failures in a row, tried after a pause."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tenire.core.health import LIMIT, LONGEST_PAUSE_S, PAUSE_S, Health

COMPONENTS = st.sampled_from("ab")


class HealthMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.health = Health()
        self.now = 0.0
        self.failures = dict.fromkeys("ab", 0)
        self.until: dict[str, float | None] = dict.fromkeys("ab", None)
        self.pipelines: dict[str, set[str]] = {"a": set(), "b": set()}

    @rule(component=COMPONENTS, pipeline=st.sampled_from(["p", "q"]))
    def fail(self, component: str, pipeline: str) -> None:
        self.failures[component] += 1
        self.pipelines[component].add(pipeline)
        failures = self.failures[component]
        expected = None
        if failures >= LIMIT:
            expected = self.until[component] = self.now + min(LONGEST_PAUSE_S, PAUSE_S * 2 ** (failures - LIMIT))
        assert self.health.failed(component, pipeline, self.now) == expected

    @rule(component=COMPONENTS)
    def work(self, component: str) -> None:
        assert self.health.worked(component) == self.pipelines[component]
        self.failures[component], self.until[component], self.pipelines[component] = 0, None, set()

    @rule(component=COMPONENTS, seconds=st.sampled_from([0.0, 0.5, 1.0, 31.0]))
    def wait(self, component: str, seconds: float) -> None:
        self.now += seconds
        until = self.until[component]
        expected = until is not None and self.now >= until
        if expected:
            self.until[component] = None
        assert self.health.tried(component, self.now) == expected

    @invariant()
    def agrees(self) -> None:
        self.health.check()
        for component in "ab":
            assert self.health.pipelines(component) == self.pipelines[component]


TestHealth = HealthMachine.TestCase
TestHealth.settings = settings(max_examples=60, stateful_step_count=30)


def test_the_pause_doubles_up_to_half_a_minute() -> None:
    health = Health()
    pauses = [health.failed("worker", "p", 100.0) for _ in range(LIMIT + 7)]
    assert pauses[: LIMIT - 1] == [None] * (LIMIT - 1)
    assert [until - 100.0 for until in pauses[LIMIT - 1 :] if until is not None] == [1, 2, 4, 8, 16, 30, 30, 30]


def test_what_is_supervised_is_unhealthy_until_it_is_up() -> None:
    health = Health()
    health.fell("feed", ["docs", "notes"])
    health.check()
    assert health.ailing("docs") == health.ailing("notes") == "feed"
    assert health.ailing("other") is None
    assert not health.tried("feed", 1e9), "no pause heals it"
    assert health.worked("feed")
    assert health.ailing("docs") is None
    health.fell("alone", [])
    health.check()


def test_three_failures_in_a_row_are_too_many_and_the_first_pause_is_a_second() -> None:
    assert (LIMIT, PAUSE_S, LONGEST_PAUSE_S) == (3, 1.0, 30.0)

"""The order of starting, on random groups."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.core.startup import StartupOrder
from tenire.errors import ConfigError

NAMES = [f"c{number}" for number in range(8)]


@st.composite
def groups(draw: st.DrawFn) -> dict[str, list[str]]:
    """Each needs only some that come earlier, so there is no circle."""
    return {name: draw(st.lists(st.sampled_from(NAMES[:index]), max_size=3)) if index else []
            for index, name in enumerate(NAMES)}  # fmt: skip


def behind(needs: dict[str, list[str]], name: str) -> set[str]:
    """Naive: all that need it, directly or not."""
    found: set[str] = set()
    for _ in needs:
        found |= {other for other, of in needs.items() if {name, *found} & set(of)}
    return found


@given(groups(), st.data(), st.integers(1, 3))
def test_everything_starts_after_what_it_needs_or_is_doomed_by_a_failure(
    needs: dict[str, list[str]], data: st.DataObject, most: int
) -> None:
    order = StartupOrder(needs)
    lost: set[str] = set()
    broken: set[str] = set()
    while True:
        for name in order.next(most):
            assert set(needs[name]) <= {*order.ready, *lost}
        assert len(order.starting) <= most
        if not order.starting:
            break
        name = data.draw(st.sampled_from(sorted(order.starting)))
        outcome = data.draw(st.sampled_from(["ready", "ready", "failed", "optional"]))
        if outcome == "ready":
            order.succeeded(name)
        else:
            waiting = set(order.pending)
            doomed = order.gave_up(name, optional=outcome == "optional")
            (lost if outcome == "optional" else broken).add(name)
            assert doomed == (set() if outcome == "optional" else behind(needs, name) & waiting)
            broken |= doomed
        order.check()
    assert not order.pending
    assert {*order.ready, *lost, *broken} == set(NAMES)
    assert order.failed == lost | broken


def test_urgent_ones_go_first_then_those_with_the_longest_chain_behind_them() -> None:
    order = StartupOrder({"a": [], "b": [], "c": ["b"], "d": ["c"], "z": []}, priority={"z": -1})
    assert order.next(2) == ["z", "b"]
    assert order.next(2) == []
    order.succeeded("z")
    assert order.next(2) == ["a"]


def test_the_critical_path_counts_seconds_and_not_components() -> None:
    needs = {"a": [], "b": ["a"], "c": ["b"], "slow": []}
    assert StartupOrder(needs).next(1) == ["a"]
    assert StartupOrder(needs, seconds={"slow": 3.5}).next(1) == ["slow"]
    assert StartupOrder(needs, seconds={"slow": 3.5, "b": 2.0}).next(1) == ["a"]


def test_what_was_broken_off_or_stopped_may_start_again() -> None:
    order = StartupOrder({"a": [], "b": []})
    assert order.next(2) == ["a", "b"]
    order.broken_off("a")
    order.succeeded("b")
    order.stopped("b")
    order.check()
    assert order.next(2) == ["a", "b"]


def test_a_circle_is_refused_and_shown() -> None:
    with pytest.raises(ConfigError, match="a → b → a"):
        StartupOrder({"a": ["b"], "b": ["a"]})


def test_a_need_outside_the_group_is_refused() -> None:
    with pytest.raises(ConfigError, match="'a' needs 'x', which is not part of the group"):
        StartupOrder({"a": ["x"]})

"""The records of tasks, and what they may ask for."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from tenire.core import tasks
from tenire.core.fair_share import PipelineShare
from tenire.core.tasks import DONE, FINAL, READY, RUNNING, WAITING, Priority, Resources, Retry, State, Task, mask_of
from tenire.errors import ConfigError


def test_a_smaller_priority_is_more_urgent() -> None:
    assert sorted(Priority) == [Priority.CRITICAL, Priority.HIGH, Priority.NORMAL, Priority.LOW, Priority.IDLE]


@pytest.mark.parametrize("name", ["high", "HIGH", "High"])
def test_a_priority_is_found_by_its_name_in_any_case(name: str) -> None:
    assert Priority.parse(name) is Priority.HIGH


def test_an_unknown_priority_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="critical, high, normal, low, idle, got 'urgent'") as caught:
        Priority.parse("urgent")
    assert caught.value.key == "priority"


def test_only_ended_states_are_final() -> None:
    assert [state for state in State if state >= FINAL] == [State.DONE, State.FAILED, State.CANCELLED]
    assert max(WAITING, READY, RUNNING) < FINAL == DONE


@pytest.mark.parametrize("bad", [-1, -0.001, float("nan"), float("inf")])
def test_an_impossible_amount_is_refused_with_its_name(bad: float) -> None:
    with pytest.raises(ConfigError, match="cpu"):
        Resources(cpu=bad)
    with pytest.raises(ConfigError, match="memory"):
        Resources(memory=bad)  # type: ignore[arg-type]  # what a careless caller does
    with pytest.raises(ConfigError, match="other"):
        Resources(other={"pages": bad})  # type: ignore[dict-item]  # as above


def test_possible_amounts_are_kept() -> None:
    wanted = Resources(cpu=0.5, memory=3, other={"pages": 1})
    assert (wanted.cpu, wanted.memory, wanted.other) == (0.5, 3, {"pages": 1})


def test_a_retry_counts_the_first_try() -> None:
    assert Retry(attempts=1).attempts == 1
    with pytest.raises(ConfigError, match="attempts"):
        Retry(attempts=0)


@pytest.mark.parametrize("delays", [{"backoff": -1.0}, {"max_delay": -1.0}, {"backoff": float("nan")}])
def test_a_retry_cannot_wait_less_than_nothing(delays: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="zero or more"):
        Retry(**delays)  # type: ignore[arg-type]  # mypy cannot see the keys


def test_the_mask_names_the_resources_that_are_really_needed() -> None:
    assert mask_of(()) == 0
    assert mask_of(((0, 5), (2, 1), (3, 0))) == 0b101


def test_a_new_task_waits_and_says_so() -> None:
    task = Task(PipelineShare("p"), "read", needs=((1, 7),))
    assert (task.state, task.blockers, task.dependents, task.mask) == (WAITING, 0, None, 0b10)
    assert repr(task) == "<Task 0 'read' waiting>"


def test_a_queued_task_is_small() -> None:
    task = Task(PipelineShare("p"), "read")
    assert not hasattr(task, "__dict__")
    assert sys.getsizeof(task) < 250


@pytest.mark.parametrize("field", ["cpu", "memory"])
def test_what_is_no_number_is_refused_with_its_name(field: str) -> None:
    with pytest.raises(ConfigError, match=f"Resources.{field} must be a number, got '1'") as caught:
        Resources(**{field: "1"})  # type: ignore[arg-type]  # what a careless caller does
    assert caught.value.key == field


def test_what_is_worth_another_try_may_be_one_exception_or_several() -> None:
    assert Retry().on == (Exception,)
    assert Retry(on=ValueError).on == (ValueError,)
    assert Retry(on=(OSError, KeyError)).on == (OSError, KeyError)
    for bad in ("OSError", int, (OSError, 3)):
        with pytest.raises(ConfigError, match=r"Retry\.on must be an exception class") as caught:
            Retry(on=bad)  # type: ignore[arg-type]  # as above
        assert caught.value.key == "on"


@pytest.mark.parametrize("attempts", [0, -1, 1.5])
def test_impossible_attempts_are_refused(attempts: float) -> None:
    with pytest.raises(ConfigError, match="a whole number from 1") as caught:
        Retry(attempts=attempts)  # type: ignore[arg-type]  # as above
    assert caught.value.key == "attempts"


def test_what_a_task_holds_is_what_it_took_and_its_open_permits() -> None:
    task = Task(PipelineShare("p"), needs=((0, 1),))
    assert task.holds() == 0
    task.state = RUNNING
    assert task.holds() == 0b1
    permit = Task(PipelineShare("p"), needs=((2, 1),))
    task.permits = [permit]
    assert task.holds() == 0b101
    task.state = State.FAILED
    assert task.holds() == 0b101, "abandoned: it holds until it has really ended"
    task.mask = 0
    assert task.holds() == 0b100


def test_of_needs_that_never_come_again_no_more_than_some_are_remembered() -> None:
    for amount in range(1, 6000):
        assert mask_of(((1, amount),)) == 0b10
    assert len(tasks._MASKS) <= tasks._MOST_MASKS


@pytest.mark.parametrize("other", [[("gpu", 1)], {"gpu": 0.5}, {"gpu": "2"}, {"gpu": None}, {"gpu": -1}])
def test_amounts_of_named_resources_are_whole_numbers_by_name(other: Any) -> None:
    with pytest.raises(ConfigError, match="other"):
        Resources(other=other)


def test_a_part_of_a_slot_and_a_whole_float_are_fine() -> None:
    assert Resources(other={"cpu": 0.5, "gpu": 2.0}).other == {"cpu": 0.5, "gpu": 2.0}


def test_what_is_left_out_is_nothing_or_modest() -> None:
    assert (Resources().cpu, Resources().memory, dict(Resources().other)) == (0.0, 0, {})
    assert (Retry().attempts, Retry().backoff, Retry().max_delay, Retry().on) == (3, 0.1, 30.0, (Exception,))


def test_nothing_is_a_possible_amount_and_a_possible_delay() -> None:
    assert dict(Resources(other={"pages": 0}).other) == {"pages": 0}
    assert Retry(backoff=0, max_delay=0).backoff == 0


def test_the_states_keep_their_numbers() -> None:
    """They are compared in order, and told to people who look into a home."""
    assert [(state.name, state.value) for state in State] == [
        ("WAITING", 0), ("READY", 1), ("RUNNING", 2), ("DONE", 3), ("FAILED", 4), ("CANCELLED", 5),
    ]  # fmt: skip

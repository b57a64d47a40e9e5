"""What is told of a task that falls with one it waits for."""

from __future__ import annotations

import pytest

from tenire.core.doom import Doom
from tenire.core.fair_share import PipelineShare
from tenire.core.tasks import State, Task


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (State.FAILED, "it waits for 'first', which failed"),
        (State.CANCELLED, "it waits for 'first', which was cancelled"),
    ],
)
def test_a_task_that_falls_is_told_with_what_it_waited_for_and_how_that_ended(state: State, reason: str) -> None:
    pipeline = PipelineShare("p")
    first, second = Task(pipeline, "first"), Task(pipeline, "second")
    first.state = state
    doom = Doom.by(second, first)
    assert (doom.task, doom.cause, doom.reason) == (second, first, reason)

"""What becomes of a batch whose call failed."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from tenire.clock import SYSTEM_CLOCK
from tenire.errors import NoWorkerError
from tenire.pipeline.progress import StageProgress
from tenire.pipeline.stages.piece import Piece
from tenire.pipeline.stages.stage import Stage


class Tasks:
    """Stands for the way to an engine at which every call fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.calls = 0

    def submit(self, fn: Any, *args: Any, **options: Any) -> Any:
        self.calls += 1
        return self._fail()

    async def _fail(self) -> None:
        raise self.error


def through(tasks: Tasks) -> Piece:
    stage = Stage("count", len, "process", 64, True, None, "1")
    piece = Piece(stage, [b'{"id":%d}' % number for number in range(4)])
    asyncio.run(piece.run(cast("Any", tasks), StageProgress("count"), SYSTEM_CLOCK, "p"))
    return piece


def test_a_call_that_fails_is_made_again_with_less_until_each_item_has_failed() -> None:
    tasks = Tasks(ValueError("no"))
    assert through(tasks).results == ["ValueError: no"] * 4
    assert tasks.calls == 7


def test_where_there_is_no_worker_the_run_ends_and_no_item_is_to_blame() -> None:
    tasks = Tasks(NoWorkerError("the node host does not see the home", task="p: count"))
    with pytest.raises(NoWorkerError, match="does not see the home"):
        through(tasks)
    assert tasks.calls == 1

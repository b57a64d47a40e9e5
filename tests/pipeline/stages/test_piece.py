"""What becomes of a batch whose call failed."""

from __future__ import annotations

import asyncio
import errno
from typing import Any, cast

import pytest

from tenire.clock import SYSTEM_CLOCK
from tenire.errors import NoWorkerError, PipelineError
from tenire.pipeline.progress import StageProgress
from tenire.pipeline.stages.piece import Piece
from tenire.pipeline.stages.stage import Stage


class Tasks:
    """Stands for the way to an engine at which every call fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.calls = 0
        self.room_made = 0

    def submit(self, fn: Any, *args: Any, **options: Any) -> Any:
        self.calls += 1
        return self._fail()

    def end_idle_workers(self) -> None:
        self.room_made += 1

    async def _fail(self) -> None:
        raise self.error


def through(tasks: Tasks, items: int = 4) -> Piece:
    stage = Stage("count", len, "process", 64, True, None, "1")
    piece = Piece(stage, [b'{"id":%d}' % number for number in range(items)])
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


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (RuntimeError("can't start new thread"), "ulimit -u"),
        (OSError(errno.EMFILE, "Too many open files"), "limit for open files"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "more memory"),
        (MemoryError("no room for 8 bytes"), "more memory"),
        (MemoryError(), "more memory"),
    ],
)
def test_where_the_system_is_short_for_each_of_several_items_the_run_ends_and_none_is_to_blame(
    error: Exception, remedy: str
) -> None:
    with pytest.raises(PipelineError, match="too short of something for the stage count") as caught:
        through(Tasks(error))
    assert remedy in str(caught.value.hint)
    assert (str(error) or "stage count: MemoryError") in str(caught.value)
    (told,) = through(Tasks(error), items=1).results
    assert remedy in str(told), "it may be this item that takes so many"


def test_one_item_that_takes_all_there_is_ends_no_run() -> None:
    class Greedy(Tasks):
        def submit(self, fn: Any, *args: Any, **options: Any) -> Any:
            return self._take(args[1])

        async def _take(self, records: list[bytes]) -> list[list[bytes]]:
            if b'{"id":2}' in records:
                raise self.error
            return [[record] for record in records]

    results = through(Greedy(RuntimeError("can't start new thread"))).results
    assert [isinstance(result, str) for result in results] == [False, False, True, False]


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.ENOMEM, "Cannot allocate memory")])
def test_what_lacked_memory_is_tried_once_more_alone_once_idle_workers_have_given_theirs_back(error: Exception) -> None:
    class Crowded(Tasks):
        """Has memory for one item at a time, once idle workers have ended."""

        def submit(self, fn: Any, *args: Any, **options: Any) -> Any:
            self.calls += 1
            return self._take(args[1])

        async def _take(self, records: list[bytes]) -> list[list[bytes]]:
            if len(records) > 1 or not self.room_made:
                raise self.error
            return [[record] for record in records]

    tasks = Crowded(error)
    assert through(tasks).results == [[b'{"id":%d}' % number] for number in range(4)]
    assert (tasks.calls, tasks.room_made) == (8, 1)


def test_one_item_that_takes_all_memory_is_to_blame_and_told_what_to_do() -> None:
    tasks = Tasks(MemoryError())
    (told,) = through(tasks, items=1).results
    assert told == "MemoryError (end some programs, or give the system more memory)"
    assert tasks.calls == 2

"""One call's worth of items, and what a stage made of them, whatever becomes of the call.

1. If the function raises, hangs or takes its worker along, the items are cut in halves
   until the one that does it is alone: that one has failed, the others have not.
2. What is wrong with the stage, or with the engine, and not with an item, ends the run. So does
   a system that is short of threads, open files or memory for each of several items.
3. What lacked memory when it was alone is tried once more, after workers that do nothing have
   given back what they hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenire.errors import (
    AuthenticationError,
    ConfigError,
    InternalError,
    NoWorkerError,
    PipelineError,
    RejectedError,
    StoreError,
    TaskTimeoutError,
    UnknownModelError,
    WorkerDiedError,
)
from tenire.pipeline.embedder_worker import IF_KILLED
from tenire.pipeline.stages.calling import acall, call
from tenire.pipeline.stages.results import WrongResultsError
from tenire.storage.advice import lacks_memory, shortage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenire.clock import Clock
    from tenire.pipeline.progress import StageProgress
    from tenire.pipeline.run_tasks import RunTasks
    from tenire.pipeline.stages.stage import Stage

__all__ = ["Piece"]

_OF_ALL = (
    AuthenticationError, ConfigError, InternalError, NoWorkerError, PipelineError, RejectedError, StoreError,
    UnknownModelError,
)  # fmt: skip


class Piece:
    """Some items of a batch.

    Args:
        stage: The stage that they go through.
        records: The items.

    Attributes:
        results: For each item what it became, or why it cannot be done.
    """

    def __init__(self, stage: Stage, records: Sequence[bytes]) -> None:
        self._stage = stage
        self._records = records
        self.results: list[list[bytes] | str] = []
        self._short: list[Exception] = []

    async def run(self, tasks: RunTasks, progress: StageProgress, clock: Clock, pipeline: str) -> None:
        """Take all items through the stage.

        Args:
            tasks: The run's way to the engine.
            progress: What is counted of the stage.
            clock: For the time that it takes.
            pipeline: Whose stage it is, for errors.

        Raises:
            TenireError: What ends the run.
        """
        count = len(self._records)
        progress.waiting -= count
        with progress.at_work(clock.now, count):
            try:
                self.results = await self._through(self._records, tasks)
            except WrongResultsError as error:
                message = f"the stage {self._stage.name} returned what no stage may: {error}"
                raise PipelineError(message, pipeline=pipeline, stage=self._stage.name) from error
            if len(self._short) == count > 1:
                first = self._short[0]
                said = str(first) or type(first).__name__
                message = f"the system is too short of something for the stage {self._stage.name}: {said}"
                raise PipelineError(message, pipeline=pipeline, stage=self._stage.name, hint=shortage(first)) from first
        progress.done += count

    async def _through(
        self, records: Sequence[bytes], tasks: RunTasks, *, again: bool = False
    ) -> list[list[bytes] | str]:
        try:
            made: list[list[bytes]] = await self._called(records, tasks)
        except (WrongResultsError, *_OF_ALL):
            raise
        except Exception as error:  # noqa: BLE001 - what it is goes to quarantine with its item
            if len(records) == 1:
                if lacks_memory(error) and not again:
                    tasks.end_idle_workers()
                    return await self._through(records, tasks, again=True)
                if shortage(error) is not None:
                    self._short.append(error)
                return [self._reason(error)]
            middle = len(records) // 2  # rule 1
            return [*await self._through(records[:middle], tasks), *await self._through(records[middle:], tasks)]
        return list(made)

    async def _called(self, records: Sequence[bytes], tasks: RunTasks) -> list[list[bytes]]:
        stage = self._stage
        if stage.on == "loop":
            handle = tasks.submit(acall, stage.function, records, step=stage.name, on="loop", timeout=stage.timeout)
        else:
            on, retry = ("anywhere", IF_KILLED) if stage.on == "process" else (stage.on, None)
            place: dict[str, Any] = {"worker": stage.worker} if stage.worker else {}  # where its model is
            handle = tasks.submit(
                call, stage.function, records, step=stage.name, on=on, timeout=stage.timeout, retry=retry,
                **place,
            )  # fmt: skip
        made: list[list[bytes]] = await handle
        return made

    def _reason(self, error: Exception) -> str:
        if isinstance(error, TaskTimeoutError):
            return f"the stage {self._stage.name} did not come to an end with this item ({error})"
        if isinstance(error, WorkerDiedError):
            return f"the stage {self._stage.name} crashed on this item ({error})"
        text, remedy = str(error), shortage(error)
        told = f"{type(error).__name__}: {text}" if text else type(error).__name__
        return f"{told} ({remedy})" if remedy else told

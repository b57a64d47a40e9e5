"""Models of what an engine does, kept true while somebody looks: pipelines and tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tenire.gui.binding import QtCore
from tenire.gui.records import Column, RecordsModel

if TYPE_CHECKING:
    from tenire.concurrency.handle import Handle
    from tenire.concurrency.manager import ConcurrencyManager
    from tenire.concurrency.timer import Timeout
    from tenire.gui.qt.frames import Frames

__all__ = ["MOST_TASKS", "PERIOD_S", "EngineWatch", "PipelineRow", "PipelinesModel", "TaskRow", "TasksModel"]

PERIOD_S = 0.1
"""Between two looks at the engine."""

MOST_TASKS = 500
"""Tasks that are shown, those that run first."""

_TOO_MANY = 5_000
"""With more tasks waiting only those that run are looked at: the engine has other things to do."""


@dataclass(frozen=True, slots=True)
class PipelineRow:
    """One pipeline.

    Attributes:
        name: Its name.
        running: Tasks that run.
        ready: Tasks that wait for their turn.
        ended: Tasks that ended, however they did.
        submitted: Tasks ever submitted.
        failed: Tasks that failed.
        cancelled: Tasks that were cancelled.
        priority: Its level.
        weight: Its share against others.
    """

    name: str
    running: int
    ready: int
    ended: int
    submitted: int
    failed: int
    cancelled: int
    priority: str
    weight: float


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One task that has not ended.

    Attributes:
        number: Unique in its engine.
        name: For people.
        pipeline: Its pipeline.
        state: ``waiting``, ``ready`` or ``running``.
        priority: Its class.
    """

    number: int
    name: str
    pipeline: str
    state: str
    priority: str


class PipelinesModel(RecordsModel[PipelineRow]):
    """The pipelines of an engine; made by ``QtEngine.pipelines_model``."""

    def __init__(self, parent: QtCore.QObject | None = None) -> None:
        super().__init__(
            (
                Column("Pipeline", lambda row: row.name),
                Column("Running", lambda row: f"{row.running:,}", lambda row: row.running, number=True),
                Column("Waiting", lambda row: f"{row.ready:,}", lambda row: row.ready, number=True),
                Column("Ended", lambda row: f"{row.ended:,}", lambda row: row.ended, number=True),
                Column("Submitted", lambda row: f"{row.submitted:,}", lambda row: row.submitted, number=True),
                Column("Failed", lambda row: f"{row.failed:,}", lambda row: row.failed, number=True),
                Column("Priority", lambda row: row.priority),
                Column("Weight", lambda row: f"{row.weight:g}", lambda row: row.weight, number=True),
            ),
            parent,
        )


class TasksModel(RecordsModel[TaskRow]):
    """The tasks of an engine that have not ended; made by ``QtEngine.tasks_model``."""

    def __init__(self, parent: QtCore.QObject | None = None) -> None:
        super().__init__(
            (
                Column("Task", lambda row: row.name),
                Column("Pipeline", lambda row: row.pipeline),
                Column("State", lambda row: row.state),
                Column("Priority", lambda row: row.priority),
            ),
            parent,
        )


class EngineWatch(QtCore.QObject):
    """Looks at an engine while there is a model, and has models show what it sees.

    Args:
        manager: The engine, which runs.
        frames: At whose pace models are updated.
        parent: With what it ends.
    """

    def __init__(self, manager: ConcurrencyManager, frames: Frames, parent: QtCore.QObject) -> None:
        super().__init__(parent)
        self._manager = manager
        self._frames = frames
        self._pipelines: list[PipelinesModel] = []
        self._tasks: list[TasksModel] = []
        self._ticking: Timeout | None = None
        self._seen: tuple[Any, Any] = (None, None)

    def pipelines(self, parent: QtCore.QObject | None) -> PipelinesModel:
        """Return a model of the pipelines."""
        model = PipelinesModel(parent)
        self._add(self._pipelines, model)
        return model

    def tasks(self, parent: QtCore.QObject | None) -> TasksModel:
        """Return a model of the tasks."""
        model = TasksModel(parent)
        self._add(self._tasks, model)
        return model

    def _add(self, models: list[Any], model: RecordsModel[Any]) -> None:
        models.append(model)
        model.destroyed.connect(lambda *_: self._drop(models, model))
        self._manager.loops.post(self._look_anew)

    def _drop(self, models: list[Any], model: RecordsModel[Any]) -> None:
        models[:] = [each for each in models if each is not model]

    # -- on the engine's loop ---------------------------------------------------

    def _look_anew(self) -> None:
        self._seen = (None, None)
        if self._ticking is None:
            # Not a bound method: the timer would hold it weakly.
            self._ticking = self._manager.timer.every(PERIOD_S, lambda: self._look(), slack=PERIOD_S / 10)
        self._look()

    def _look(self) -> None:
        if not (self._pipelines or self._tasks):
            if self._ticking is not None:
                self._ticking.cancel()
                self._ticking = None
            return
        pipelines = self._look_at_pipelines() if self._pipelines else None
        tasks = self._look_at_tasks() if self._tasks else None
        before, self._seen = self._seen, (pipelines, tasks)
        if pipelines is not None and pipelines != before[0]:
            self._frames.put((self, "pipelines"), self._show, self._pipelines, pipelines)
        if tasks is not None and tasks != before[1]:
            self._frames.put((self, "tasks"), self._show, self._tasks, tasks)

    def _look_at_pipelines(self) -> dict[str, PipelineRow]:
        orchestrator = self._manager.orchestrator
        orchestrator.take_in_ended()
        held: dict[str, int] = {}
        for permit in orchestrator.permits:
            held[permit.pipeline.name] = held.get(permit.pipeline.name, 0) + 1
        return {
            name: PipelineRow(
                name=name,
                running=share.running - held.get(name, 0),
                ready=share.queue.size,
                ended=share.ended,
                submitted=share.submitted,
                failed=share.failed,
                cancelled=share.cancelled,
                priority=share.priority.name.lower(),
                weight=share.weight,
            )
            for name, share in orchestrator.scheduler.shares.pipelines.items()
        }

    def _look_at_tasks(self) -> dict[int, TaskRow]:
        orchestrator = self._manager.orchestrator
        many = orchestrator.scheduler.queued > _TOO_MANY
        handles = orchestrator.unfinished() if many else orchestrator.everything()
        found = [_row(handle) for handle in handles if not handle.done()]
        found.sort(key=lambda row: (row.state != "running", row.number))
        return {row.number: row for row in found[:MOST_TASKS]}

    # -- in the GUI thread ------------------------------------------------------

    def _show(self, models: list[RecordsModel[Any]], records: dict[Any, Any]) -> None:
        for model in tuple(models):  # one may go while another tells of its changes
            model.update(records)


def _row(handle: Handle[Any]) -> TaskRow:
    return TaskRow(
        handle.seq,
        handle.name,
        handle.pipeline.name,
        handle.state_name(),
        _priority(handle.priority),
    )


def _priority(level: int) -> str:
    from tenire.core.tasks import Priority

    return Priority(level).name.lower()

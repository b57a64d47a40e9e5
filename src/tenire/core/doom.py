"""A task that ended, or has to end, without the caller's doing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.core.tasks import State

if TYPE_CHECKING:
    from tenire.core.tasks import Task

__all__ = ["Doom"]


class Doom:
    """A task that ends without running, or before it is done.

    Attributes:
        task: The task.
        cause: The task whose failure ends it; ``None`` if its deadline does.
        reason: One sentence for people.
    """

    __slots__ = ("cause", "reason", "task")

    def __init__(self, task: Task, cause: Task | None, reason: str) -> None:
        self.task = task
        self.cause = cause
        self.reason = reason

    @classmethod
    def by(cls, task: Task, cause: Task) -> Doom:
        """Return the doom of a task whose dependency failed or was cancelled."""
        what = "was cancelled" if cause.state == State.CANCELLED else "failed"
        return cls(task, cause, f"it waits for {cause.name!r}, which {what}")

"""How a task ended, and where it is, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from tenire.concurrency.handle import LOOP, PLACES, PROCESS, Explanation, Handle
from tenire.errors import DependencyError, TaskTimeoutError

if TYPE_CHECKING:
    from tenire.core.scheduler import Doom

__all__ = ["dependency_failed", "explain", "missed_deadline"]


def missed_deadline(handle: Handle[Any], reason: str) -> TaskTimeoutError:
    """Return the error of a task that did not make its deadline."""
    message = f"task {handle.name!r} missed its deadline: {reason}"
    return TaskTimeoutError(message, task=handle.name, hint="give it a later deadline, or less to do")


def dependency_failed(handle: Handle[Any], doom: Doom) -> DependencyError:
    """Return the error of a task that waited for one that failed."""
    cause = cast("Handle[Any]", doom.cause)
    message = f"task {handle.name!r} never ran: {doom.reason}"
    error = DependencyError(message, task=handle.name, dependency=cause.name)
    error.__cause__ = cause.error
    return error


def explain(handle: Handle[Any], state: str, waits: str) -> Explanation:
    """Return why a task is where it is.

    Args:
        handle: The task.
        state: Its state, as people see it.
        waits: What the scheduler says holds it back, if it waits.
    """
    if waits:
        reason = waits
    elif state == "running":
        reason = f"it runs {'on the' if handle.on == LOOP else 'in a'} {PLACES[handle.on]}, try {handle.attempts}"
        if handle.on == PROCESS and handle.worker is not None:
            reason += f", worker {handle.worker!r}"
    elif handle.cancelled():
        reason = "it was cancelled"
    elif handle.error is None:
        reason = "it returned its value"
    else:
        reason = str(handle.error) or type(handle.error).__name__
    return Explanation(handle.name, handle.pipeline.name, state, reason)

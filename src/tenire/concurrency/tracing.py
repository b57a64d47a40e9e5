"""A span for each try of each task.

1. A span begins when its task starts, inside the span that was open where the task was
   submitted; spans that the task opens on the loop or on a thread are inside of it.
2. It ends when the task's outcome is known, or when the next try starts.
3. It holds names and numbers. Of an error it holds the kind, not the message.
"""

from __future__ import annotations

from asyncio import CancelledError
from typing import TYPE_CHECKING, Any

from tenire.concurrency.holding import HOLDER

if TYPE_CHECKING:
    from tenire.concurrency.handle import Handle
    from tenire.observe.tracing import Spans

__all__ = ["TaskSpans"]


class TaskSpans:
    """The spans of the tasks of one engine that run; on its loop's thread.

    Args:
        spans: Begins and ends them.
    """

    def __init__(self, spans: Spans) -> None:
        self._spans = spans
        self._open: dict[Handle[Any], Any] = {}

    def enter(self, handle: Handle[Any]) -> None:
        """Begin a span; called in a task's own context, just before it starts."""
        HOLDER.set(handle)
        before = self._open.pop(handle, None)
        if before is None:
            handle.add_done_callback(self._ended)
        else:
            self._spans.end(before, failed="retried", here=True)
        attributes: dict[str, str | int | float] = {
            "tenire.pipeline": handle.pipeline.name,
            "tenire.priority": int(handle.priority),
            "tenire.attempt": handle.attempts,
            "tenire.waited_s": max(0.0, handle.started_at - handle.ready_at),
        }
        self._open[handle] = self._spans.begin(handle.name, attributes)

    def _ended(self, handle: Handle[Any]) -> None:
        span = self._open.pop(handle)
        error = handle.error  # not exception(): that would count as having seen it
        cancelled = isinstance(error, CancelledError)
        self._spans.end(span, failed="cancelled" if cancelled else type(error).__name__ if error else None)

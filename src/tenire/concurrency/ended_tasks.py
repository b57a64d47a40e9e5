"""The last tasks that have ended, and how; their values are not kept."""

from __future__ import annotations

from asyncio import CancelledError
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tenire.core.tasks import State

if TYPE_CHECKING:
    from tenire.concurrency.handle import Handle

__all__ = ["MOST_KEPT", "EndedTask", "EndedTasks"]

MOST_KEPT = 1000
_LONGEST_ERROR = 500

_Record = tuple[int, str, str, State, "float | None", float, int, "str | None"]


@dataclass(frozen=True, slots=True)
class EndedTask:
    """How a task ended.

    Attributes:
        number: The how manieth task of the engine it was, permits included.
        name: Its name.
        pipeline: Its pipeline.
        state: ``done``, ``failed`` or ``cancelled``.
        seconds: How long its last try took, or ``None`` if it never started.
        ended_at: When it ended, seconds of the engine's clock.
        attempts: How often it was tried.
        error: What it raised, or ``None``.
    """

    number: int
    name: str
    pipeline: str
    state: str
    seconds: float | None
    ended_at: float
    attempts: int
    error: str | None


class EndedTasks:
    """Keeps the last ``MOST_KEPT``."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: deque[_Record] = deque(maxlen=MOST_KEPT)

    def note(self, handle: Handle[Any], state: State, now: float) -> None:
        """Take in a task whose outcome is set."""
        # A bare tuple: most are pushed out again without ever being looked at.
        if handle.error is None:
            self._kept.append(
                (handle.seq, handle.name, handle.pipeline.name, state, handle.started_at, now, handle.attempts, None)
            )
            return
        if handle.is_permit:  # nor is one that was granted
            return
        began = handle.started_at if handle.attempts else None
        error = _told(handle.error)
        self._kept.append((handle.seq, handle.name, handle.pipeline.name, state, began, now, handle.attempts, error))

    def all(self) -> list[EndedTask]:
        """Return them, the oldest first; from any thread."""
        return [
            EndedTask(
                number, name, pipeline, state.name.lower(),
                None if started_at is None else ended_at - started_at, ended_at, attempts, error,
            )
            for number, name, pipeline, state, started_at, ended_at, attempts, error in list(self._kept)
        ]  # fmt: skip


def _told(error: BaseException) -> str | None:
    """Return an error as text: the object would keep alive whatever its traceback holds."""
    if isinstance(error, CancelledError):
        return None
    kind = type(error).__name__
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - foreign code
        return kind
    return f"{kind}: {text}"[:_LONGEST_ERROR] if text else kind

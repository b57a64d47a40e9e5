"""In which order tasks that belong together are cancelled: leaves first.

1. A task is cancelled after every task that it submitted has ended: what they use of it
   is there to the last. Who submitted it has a smaller number than a task, so there is
   always one to begin with.
2. What has not started holds nothing that others could use, and is cancelled at once;
   what waits for another task before that one, or it would count as failed with it.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, TypeVar

from tenire.core.tasks import RUNNING, Task

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["leaves"]

T = TypeVar("T", bound=Task)

_by_number = attrgetter("seq")


def leaves(tasks: Collection[T]) -> list[T]:
    """Return those to cancel now, in order; the others once these have ended.

    Args:
        tasks: All that are to end and have not ended.
    """
    parents = {task.parent for task in tasks if task.state >= RUNNING}
    now = [task for task in tasks if task.state < RUNNING or task.seq not in parents]
    now.sort(key=_by_number, reverse=True)
    return now

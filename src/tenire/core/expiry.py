"""Which tasks have a deadline, and which of them can still make it.

1. A task that has not started by its deadline never will; one that runs then is told.
2. A task that has less time left than half of its kind take is refused: when it is
   submitted, and again when its turn has come.
3. While others wait for the same, it is also refused if its chance to end in time has
   fallen below ``CHANCE`` of what it was when it became ready. Otherwise, under
   overload, each one would start when just too little is left, and nothing would ever
   be done in time. What has never had a better chance is not refused for it.
4. A task that runs at its deadline is remembered as having taken a little longer:
   without those, the durations that are known would be those of the quick ones.
5. When tasks of a name have been refused for ``TRY_AGAIN_S``, one is tried: what they
   took when a server was slow must not count for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.core.deadlines import DeadlineHeap
from tenire.core.tasks import FINAL, RUNNING

if TYPE_CHECKING:
    from tenire.core.history import History
    from tenire.core.tasks import Task

__all__ = ["CHANCE", "TRY_AGAIN_S", "Expiry"]

CHANCE = 0.98
TRY_AGAIN_S = 60.0
_LONGER = 1.1
_MOST_NAMES = 1024
_CHANCES = (1.0, 0.9, 0.75, 0.6)
"""Chances that are told apart from an even one; each takes a look at the last durations."""


class Expiry:
    """The deadlines of all tasks that have one.

    Attributes:
        live: How many are still to come.
    """

    __slots__ = ("_heap", "_history", "_refused_since", "_tried")

    def __init__(self, history: History) -> None:
        self._heap: DeadlineHeap[Task] = DeadlineHeap()
        self._history = history
        self._refused_since: dict[str, float] = {}
        self._tried: Task | None = None

    @property
    def live(self) -> int:
        """How many deadlines are still to come."""
        return self._heap.live

    def watch(self, task: Task, deadline: float) -> None:
        """Note a task's deadline."""
        task.timer = self._heap.add(int(deadline * 1e9), task)

    def forget(self, task: Task) -> None:
        """Note that a task has ended."""
        self._heap.cancel(task.timer)

    def told(self, task: Task) -> bool:
        """Return whether a task's deadline has come already."""
        return task.timer.payload is None

    def passed(self, now: float) -> list[Task]:
        """Return the tasks whose deadline has come."""
        passed = [task for task in self._heap.pop_due(int(now * 1e9)) if task.state < FINAL]
        for task in passed:
            if task.state == RUNNING and not task.is_permit:
                self._history.record(task.name, (now - task.started_at) * _LONGER)
        return passed

    def next_at(self) -> float | None:
        """Return when the next deadline comes."""
        # The task's own figure: nanoseconds turned back into seconds may come out one
        # rounding early, and a caller that wakes exactly then would spin.
        task = self._heap.first()
        return None if task is None else task.deadline

    def hopeless(self, task: Task, deadline: float, now: float, *, contended: bool) -> str | None:
        """Return why a task cannot make its deadline, or ``None`` if it may.

        Args:
            task: The task.
            deadline: Its deadline.
            now: Seconds on a clock that never goes back.
            contended: Whether its turn has come and others wait for the same.
        """
        usual = self._history.usual(task.name)
        if usual is None or task is self._tried or task.is_permit:
            return None
        left = deadline - now
        if left < usual:
            if not contended and self._tries(task, now):
                return None
            return f"it usually takes {usual:.3g} s and only {max(0.0, left):.3g} s are left"
        if contended:
            needed = self._good_chance(task, deadline - task.ready_at)
            if left < needed:
                return f"it may take {needed:.3g} s, only {left:.3g} s are left, and others can still make theirs"
        return None

    def _tries(self, task: Task, now: float) -> bool:
        """Return whether a task runs though it seems hopeless (rule 5)."""
        if len(self._refused_since) >= _MOST_NAMES:
            self._refused_since.clear()
        since = self._refused_since.setdefault(task.name, now)
        if now - since < TRY_AGAIN_S:
            return False
        self._refused_since[task.name] = now
        self._tried = task
        return True

    def _good_chance(self, task: Task, span: float) -> float:
        """Return the time that gives a task nearly the chance that ``span`` seconds give."""
        quantile = self._history.quantile
        for chance in _CHANCES:
            whole = quantile(task.name, chance)
            if whole is not None and whole <= span:
                break
        else:
            chance = 0.5  # it has at least the usual time, or it would be hopeless already
        return quantile(task.name, chance * CHANCE) or 0.0

    def check(self) -> None:
        """Verify the heap."""
        self._heap.check()

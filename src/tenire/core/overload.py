"""Overload by queue wait: who has to step aside when urgent work waits too long.

The wait in the queue is the right signal: it does not depend on what a task does,
and is zero on a machine that keeps up. Work of class critical and high is
interactive and should wait for no longer than 20 ms, the rest is batch, 2 s.

1. In each window the mean wait of what started is compared with its target.
2. Interactive work too late: batch may hold ``STEP_DOWN`` less of the machine, down
   to half of it; in time: ``STEP_UP`` more. With no interactive work the limit goes
   back up as well, so nothing is kept for work that does not come.
3. Batch work too late for ``PATIENCE`` windows, or interactive work by ``FAR`` times its
   target: idle work goes last of all, then low work too; it starts if nothing else fits,
   as leaving a machine idle makes nobody's wait shorter. A window in which no batch work
   started tells nothing of it (tasks may take longer than one), unless there are ``CALM``
   of them. A task that has waited long enough to rise a class rises above this too, so
   nothing waits for ever.
4. Both ways back are taken step by step, that of the classes after ``CALM`` windows in time.

Source: H. Zhou et al., "Overload Control for Scaling WeChat Microservices" (DAGOR),
SoCC 2018, with work held back instead of refused: it was accepted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.core.tasks import Priority

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenire.core.tasks import Task

__all__ = ["BATCH_TARGET_S", "INTERACTIVE_TARGET_S", "WINDOW_S", "OverloadControl", "waited"]

WINDOW_S = 1.0
INTERACTIVE_TARGET_S = 0.020
BATCH_TARGET_S = 2.0
FAR = 10.0
"""How many times its target interactive work may wait before classes go last."""
STEP_DOWN = 0.05
STEP_UP = 0.01
PATIENCE = 3
CALM = 10
_LEAST_BATCH = 0.5
_INTERACTIVE, _IDLE = int(Priority.HIGH), int(Priority.IDLE)  # members compare slower


def waited(wait: float | None, target: float) -> str:
    """Return how long work waited on average, in words, if that is what holds others back now.

    Args:
        wait: Seconds, or ``None`` if nothing started.
        target: How long it may wait, seconds.
    """
    if wait is None or wait <= target:  # what was taken back then comes step by step
        return "too long a moment ago"
    shown = f"{wait * 1000:.0f} ms" if wait < 1.0 else f"{wait:.3g} s" if wait < 100.0 else f"{wait:.0f} s"
    return f"{shown} on average"


class OverloadControl:
    """Judges the waits of what has started.

    Attributes:
        batch_share: How much of any resource batch work may hold together, 0.5 to 1.
        batch_held: Sum of the largest share of one resource of each batch task that runs, that is,
            holds slots: the memory of a model may be held for as long as the engine lives.
        lowest: The lowest class that does not go last, by age.
        interactive_wait: Mean wait of interactive work in the last window, seconds, or ``None``.
        batch_wait: The same for normal and low work.
    """

    __slots__ = (
        "_batch_count",
        "_batch_total",
        "_calm",
        "_count",
        "_late",
        "_total",
        "_until",
        "batch_held",
        "batch_share",
        "batch_wait",
        "interactive_wait",
        "lowest",
    )

    def __init__(self) -> None:
        self.batch_share = 1.0
        self.batch_held = 0.0
        self.lowest: int = Priority.IDLE
        self.interactive_wait: float | None = None
        self.batch_wait: float | None = None
        self._count = self._batch_count = 0
        self._total = self._batch_total = 0.0
        self._late = self._calm = 0
        self._until: float | None = None

    def started(self, priority: int, wait: float, share: float) -> None:
        """Take in that a task that competes for something has started after ``wait`` seconds."""
        if priority <= _INTERACTIVE:
            self._count += 1
            self._total += wait
            return
        self.batch_held += share
        if priority < _IDLE:  # what idle work waits is nobody's concern
            self._batch_count += 1
            self._batch_total += wait

    def took(self, priority: int, share: float) -> None:
        """Take in that a task has started whose wait says nothing about the machine."""
        if priority > _INTERACTIVE:
            self.batch_held += share

    def all_started(self, tasks: Sequence[Task], now: float, share: float, *, since: float) -> None:
        """Do for several tasks that start now with the same share what ``started`` does for one.

        Args:
            tasks: They.
            now: Seconds on a clock that never goes back.
            share: What each takes of the resource of which it takes most.
            since: When the earliest of the waits begins that count.
        """
        # Sums first: this is done once for every task that competes.
        count = batch_count = idle_count = 0
        total = batch_total = 0.0
        for task in tasks:
            priority, ready_at = task.priority, task.ready_at
            wait = now - (ready_at if ready_at > since else since)
            if priority <= _INTERACTIVE:
                count += 1
                total += wait
            elif priority < _IDLE:
                batch_count += 1
                batch_total += wait
            else:
                idle_count += 1
        self.batch_held += share * (batch_count + idle_count)
        self._count += count
        self._total += total
        self._batch_count += batch_count
        self._batch_total += batch_total

    def goes_last(self, priority: int, risen: int) -> bool:
        """Return whether a task of a class, which has risen to another by age, starts only where nothing else fits."""
        return priority > self.lowest and risen > self.lowest

    def room(self) -> float:
        """Return how large a share of the machine batch work may still take; one task always may."""
        return self.batch_share - self.batch_held if self.batch_held > 1e-9 else 1.0

    @property
    def last(self) -> tuple[str, ...]:
        """Names of the classes that go last, from the least urgent on."""
        return tuple(Priority(level).name.lower() for level in range(Priority.IDLE, self.lowest, -1))

    @property
    def _urgent_late(self) -> bool:
        return self.interactive_wait is not None and self.interactive_wait > FAR * INTERACTIVE_TARGET_S

    def why_last(self) -> str:
        """Return why classes go last, in words."""
        if self.batch_wait is not None and self.batch_wait > BATCH_TARGET_S:
            return f"normal and low work waited {waited(self.batch_wait, BATCH_TARGET_S)}"
        if self._urgent_late:
            return f"urgent work waited {waited(self.interactive_wait, INTERACTIVE_TARGET_S)}"
        return "other work waited too long a moment ago"

    def in_words(self) -> str | None:
        """Return which classes go last and why, or ``None`` while none does."""
        return f"{self.why_last()}, so {' and '.join(self.last)} work goes last" if self.last else None

    def advance(self, now: float) -> None:
        """Judge the window if it is over."""
        if self._until is None:
            self._until = now + WINDOW_S
        if now < self._until:
            return
        self._until = now + WINDOW_S
        wait = self.interactive_wait = self._total / self._count if self._count else None
        batch = self.batch_wait = self._batch_total / self._batch_count if self._batch_count else None
        self._count = self._batch_count = 0
        self._total = self._batch_total = 0.0
        if wait is not None and wait > INTERACTIVE_TARGET_S:
            self.batch_share = max(_LEAST_BATCH, self.batch_share - STEP_DOWN)
        else:
            self.batch_share = min(1.0, self.batch_share + STEP_UP)
        if self._urgent_late or (batch is not None and batch > BATCH_TARGET_S):
            self._late, self._calm = self._late + 1, 0
            if self._late >= PATIENCE:
                self._late = 0
                self.lowest = max(Priority.NORMAL, self.lowest - 1)
        else:
            self._calm += 1
            if batch is not None:
                self._late = 0
            if self._calm >= CALM:
                self._late = self._calm = 0
                self.lowest = min(Priority.IDLE, self.lowest + 1)

    def check(self) -> None:
        """Verify the rules."""
        assert _LEAST_BATCH <= self.batch_share <= 1.0
        assert self.batch_held > -1e-9
        assert Priority.NORMAL <= self.lowest <= Priority.IDLE

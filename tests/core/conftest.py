"""A machine in virtual time, for the scheduler's tests."""

from __future__ import annotations

import heapq
import os
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tenire.core.admission import Admission
from tenire.core.scheduler import Scheduler
from tenire.core.tasks import Priority, Resources, State, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

if os.environ.get("TENIRE_MUTANT"):
    # A planted bug is only to be seen: neither the shortest example nor an explanation is wanted.
    hypothesis.settings.register_profile(
        "mutant",
        derandomize=True,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    hypothesis.settings.load_profile("mutant")


class Machine:
    """Runs tasks of known duration on the real scheduler; time jumps to the next end."""

    def __init__(self, *, cpu: float = 1, memory: int = 1000, most: int = 256, **others: int) -> None:
        self.admission = Admission(cpu=cpu, memory=memory, threads=8, processes=8)
        for name, amount in others.items():
            self.admission.register(name, amount)
        self.scheduler = Scheduler(self.admission)
        self.now = 0.0
        self.most = most
        self.running: dict[Task, float] = {}
        self.durations: dict[Task, float] = {}
        self.started: list[Task] = []
        self.on_end: Callable[[Task], None] = lambda _task: None
        self._ends: list[tuple[float, int, Task]] = []

    def submit(
        self,
        pipeline: str = "default",
        *,
        cpu: float = 0,
        memory: int = 0,
        other: dict[str, int] | None = None,
        seconds: float = 1.0,
        priority: Priority = Priority.NORMAL,
        after: Iterable[Task] = (),
        name: str = "",
        deadline: float | None = None,
        claim: int = 0,
        always: bool = False,
    ) -> Task:
        needs = self.scheduler.needs(Resources(cpu=cpu, memory=memory, other=other or {}), task=name)
        task = Task(self.scheduler.shares.pipeline(pipeline), name, priority, needs, deadline, always=always)
        task.claim = claim
        self.durations[task] = seconds
        self.scheduler.submit(task, self.now, tuple(after))
        return task

    def decide(self) -> list[Task]:
        started = self.scheduler.decide(self.now, self.most)
        for task in started:
            self.running[task] = self.now
            heapq.heappush(self._ends, (self.now + self.durations[task], task.seq, task))
        self.started += started
        return started

    def step(self, *, until: float = float("inf")) -> bool:
        """Start what may start, then jump to the next end; return whether there was one in time."""
        while len(self.decide()) >= self.most:
            pass
        if not self._ends or self._ends[0][0] > until:
            return False
        self.now, _, task = heapq.heappop(self._ends)
        self.scheduler.finish(task, self.now, State.DONE)
        del self.running[task]
        self.on_end(task)
        return True

    def run(self, *, until: float = float("inf")) -> None:
        while self.step(until=until):
            pass
        if until != float("inf"):
            self.now = until

    def run_until_started(self, task: Task, *, limit: int = 1_000_000) -> int:
        """Run until a task has started; return how many started before it, from now on."""
        before = len(self.started)
        for _ in range(limit):
            if task.state >= State.RUNNING:
                return self.started.index(task, before) - before
            assert self.step(), "nothing runs and the task has not started"
        raise AssertionError("the task never started")


@pytest.fixture
def machine() -> type[Machine]:
    return Machine

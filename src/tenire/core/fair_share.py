"""Whose turn it is: start-time fair queueing on the weighted dominant share.

Every pipeline has a virtual time ``v``. Starting a task moves it on by what the
task is expected to cost: the largest share of any one resource that it takes,
times its expected duration, divided by the pipeline's weight. The pipeline with
the smallest ``v`` goes next. When the task ends, the charge is corrected by what
it really took.

1. A pipeline that had nothing waiting starts at the current virtual time, that
   of the pipeline that is due: it gains no credit, and waits for nobody's debt.
2. Each priority level of a pipeline is worth ``LEVEL_FACTOR`` times the share of
   the level below. No level starves another.
3. ``v`` of a pipeline with work waiting never goes back by more than the
   correction of one task's charge, unless its weight changes: how far it is ahead
   then counts by the new one, as if that had always been its weight.
4. Tasks that need nothing compete for nothing and are charged nothing.
5. A suspended pipeline starts nothing, and keeps its place.

Sources: P. Goyal, H. M. Vin, H. Cheng, "Start-time Fair Queuing", SIGCOMM 1996;
A. Ghodsi et al., "Dominant Resource Fairness", NSDI 2011.
"""

from __future__ import annotations

from tenire.core.burst import BurstCredit
from tenire.core.quantiles import QuantileSketch
from tenire.core.ready_queue import ReadyQueue
from tenire.core.tasks import Priority, State, is_number
from tenire.errors import ConfigError

__all__ = ["DURATION_SMOOTHING", "LEVEL_FACTOR", "SAMPLED", "FairShare", "PipelineShare"]

LEVEL_FACTOR = 4.0
_LEAST_WEIGHT = 1e-6
DURATION_SMOOTHING = 0.1
_FIRST_DURATION_S = 1e-3
SAMPLED = 64


class PipelineShare:
    """One pipeline's part in the machine.

    Attributes:
        name: Its name.
        weight: Its weight as configured.
        priority: Its level as configured.
        v: Its virtual time.
        pull: What a charge is divided by: weight times the level's factor.
        queue: Its ready tasks.
        burst: Its burst credit.
        running: Tasks that run now.
        duration: Smoothed duration of its tasks, seconds.
        submitted: Tasks that were ever submitted to it.
        ended: Tasks that ended, however they did.
        failed: Those of them that failed.
        cancelled: Those of them that were cancelled.
        retried: How often one of its tasks was to be tried again.
        took: How long tasks ran that went well, seconds; short ones by sampling.
        waited: How long those were ready before they started.
        suspended: Why nothing of it may start, or ``None``; see ``suspend``.
        resumed_at: When that last ended.
        withheld: Whether permits of those who hold nothing wait then, too.
    """

    __slots__ = (
        "burst",
        "cancelled",
        "duration",
        "ended",
        "failed",
        "name",
        "priority",
        "pull",
        "queue",
        "resumed_at",
        "retried",
        "running",
        "submitted",
        "suspended",
        "took",
        "v",
        "waited",
        "weight",
        "withheld",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.weight = 1.0
        self.priority = Priority.NORMAL
        self.v = 0.0
        self.pull = 1.0
        self.queue = ReadyQueue(self)
        self.burst = BurstCredit()
        self.running = 0
        self.duration = _FIRST_DURATION_S
        self.submitted = 0
        self.ended = self.failed = self.cancelled = self.retried = 0
        self.took = QuantileSketch()
        self.waited = QuantileSketch()
        self.suspended: str | None = None
        self.resumed_at = float("-inf")
        self.withheld = False

    def suspend(self, reason: str | None, now: float) -> None:
        """Have nothing of it start, for a reason; ``None`` ends that."""
        if reason is None and self.suspended is not None:
            self.resumed_at = now
        self.suspended = reason

    def configure(self, *, weight: float | None = None, priority: Priority | None = None) -> None:
        """Set weight or level; for a pipeline that has run, see ``FairShare.configure``.

        Raises:
            ConfigError: If the weight is out of range.
        """
        if weight is not None:
            if not is_number(weight) or not _LEAST_WEIGHT <= weight <= 1 / _LEAST_WEIGHT:
                message = (
                    f"weight must be a number from {_LEAST_WEIGHT:g} to {1 / _LEAST_WEIGHT:g}, "
                    f"got {weight!r} (pipeline {self.name!r})"
                )
                raise ConfigError(message, key="weight")
            self.weight = float(weight)
        if priority is not None:
            self.priority = Priority(priority)
        self.pull = self.weight * LEVEL_FACTOR ** (Priority.NORMAL - self.priority)

    def count_end(self, state: State) -> None:
        """Count a task that ended."""
        self.ended += 1
        if state is State.FAILED:
            self.failed += 1
        elif state is State.CANCELLED:
            self.cancelled += 1

    def observe(self, took: float, waited: float, seq: int | None) -> None:
        """Take in how long a task ran and had waited.

        Args:
            took: Seconds.
            waited: Seconds.
            seq: Its number, by which one in ``SAMPLED`` is chosen to stand for its like; ``None``: it counts as one.
        """
        if seq is None:
            times = 1
        elif seq % SAMPLED:
            return
        else:
            times = SAMPLED
        self.took.add(took, times)
        self.waited.add(max(0.0, waited), times)


class FairShare:
    """The pipelines, and which of them have work waiting.

    Attributes:
        pipelines: All pipelines by name.
        backlogged: Those with ready tasks.
        v: The system's virtual time: that of the pipeline that is due; it never goes back.
    """

    __slots__ = ("backlogged", "pipelines", "v")

    def __init__(self) -> None:
        self.pipelines: dict[str, PipelineShare] = {}
        self.backlogged: list[PipelineShare] = []
        self.v = 0.0

    def pipeline(self, name: str) -> PipelineShare:
        """Return the pipeline of that name, making it if it is new.

        Raises:
            ConfigError: If the name is no text.
        """
        if not isinstance(name, str):
            message = f"the name of a pipeline must be text, got {name!r}"
            raise ConfigError(message, key="pipeline")
        found = self.pipelines.get(name)
        # setdefault: two threads that ask for a new name at once must get one object.
        return found if found is not None else self.pipelines.setdefault(name, PipelineShare(name))

    def configure(self, name: str, *, weight: float | None = None, priority: Priority | None = None) -> None:
        """Change weight or level of a pipeline; takes effect from the next decision on.

        Raises:
            ConfigError: If the name is no text, or the weight is out of range.
        """
        pipeline = self.pipeline(name)
        before = pipeline.pull
        pipeline.configure(weight=weight, priority=priority)
        if pipeline.pull != before and pipeline.v > self.v:
            # Else a pipeline that had little weight would have to wait for as long as it
            # takes with little weight to make up for what it holds now.
            pipeline.v = self.v + (pipeline.v - self.v) * before / pipeline.pull
            pipeline.queue.not_ahead_of(pipeline.v)

    def filled(self, pipeline: PipelineShare) -> None:
        """Note that a pipeline without ready tasks is about to get one."""
        self.backlogged.append(pipeline)
        # Rule 1; also while tasks of it run: one long task would be worth hours of credit.
        pipeline.v = max(pipeline.v, self.v)

    def drained(self, pipeline: PipelineShare) -> None:
        """Note that a pipeline has no ready task left."""
        self.backlogged.remove(pipeline)

    def advance(self, v: float) -> None:
        """Note the virtual time of the pipeline that is due next."""
        if v > self.v:
            self.v = v

    def observe_bursts(self, *, allowed: bool) -> None:
        """Bring the burst credit of those with work up to date."""
        pull = sum([pipeline.pull for pipeline in self.backlogged])
        for pipeline in self.backlogged:
            pipeline.burst.observe(pipeline.v - self.v, pull, allowed=allowed)

    def check(self) -> None:
        """Verify the rules."""
        for pipeline in self.pipelines.values():
            pipeline.queue.check()
            assert (pipeline in self.backlogged) == (pipeline.queue.size > 0), pipeline.name
        assert len(set(self.backlogged)) == len(self.backlogged)

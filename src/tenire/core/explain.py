"""Which gate holds a task back, in the words of the decision that did so.

Selection leaves at each lane what held up its head. Where the last decision had no
need to look at a lane, since what it needs was gone already, the same rules are asked.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from tenire.core.overload import INTERACTIVE_TARGET_S, waited
from tenire.core.ready_queue import Lane, aged
from tenire.core.tasks import READY, WAITING, Priority, State

if TYPE_CHECKING:
    from tenire.core.admission import Admission
    from tenire.core.scheduler import Scheduler
    from tenire.core.tasks import Task

__all__ = ["GATES", "Gate", "why"]

GATES = (
    "dependency", "retry", "position", "resource", "quota", "breaker", "reserved", "share", "burst", "overload",
    "degraded", "suspended", "next", "none",
)  # fmt: skip
"""Names of the gates; ``next`` means that nothing holds the task back, ``none`` that it does not wait.
``breaker`` is told by who waits behind one."""


class Gate(NamedTuple):
    """What holds a task back.

    Attributes:
        name: One of ``GATES``.
        reason: One sentence for people, without a full stop.
    """

    name: str
    reason: str


def why(scheduler: Scheduler, task: Task, now: float) -> Gate:
    """Return what holds a task back."""
    if task.state == WAITING:
        return _waiting(task)
    scheduler.admission.refill(now)
    if task.state != READY:
        return Gate("none", f"it is {State(task.state).name.lower()}")
    pipeline = task.pipeline
    if pipeline.suspended is not None and task.claim <= pipeline.withheld:
        return Gate("suspended", f"pipeline {pipeline.name!r} starts nothing: {pipeline.suspended}")
    lane = task.lane
    if lane.mask:
        lowest = scheduler.selection.lowest_class
        if task.priority > lowest and not task.claim:
            return _left_out(scheduler, task)
        if lane.head(now) is not task:
            return _position(task, lane)
        if lane.round == scheduler.selection.round:
            return _held_up(scheduler, task, lane.gate, now)
        lacking = scheduler.admission.lacking(task.needs)
        if lacking:  # the decision had no need to look at it: there was not enough for one more
            return _held_up(scheduler, task, lacking, now)
        keeper = scheduler.selection.kept_for(lane.mask)
        if keeper is not None:
            return _held_up(scheduler, task, keeper, now)
        return _turn(scheduler, task)
    if lane.head(now) is not task:
        return _position(task, lane)
    return Gate("next", "it is next in its pipeline and starts at the next decision")


def _class(priority: int) -> str:
    return Priority(priority).name.lower()


def _waiting(task: Task) -> Gate:
    if not task.blockers:
        return Gate("retry", "it failed and waits for its next try")
    unfinished = [other.name for other in task.after if other.state < State.DONE]
    named = ", ".join(repr(name) for name in unfinished[:3])
    more = f" and {len(unfinished) - 3} more" if len(unfinished) > 3 else ""
    return Gate("dependency", f"it waits for {_tasks(task.blockers, 'unfinished ')}: {named}{more}")


def _position(task: Task, lane: Lane) -> Gate:
    ahead = max(1, lane.position(task))  # at least the head, which may have aged past it
    others = f"{_tasks(ahead)} of pipeline {task.pipeline.name!r} {'is' if ahead == 1 else 'are'} in front of it"
    return Gate("position", f"{others} (priority {_class(task.priority)})")


def _tasks(number: int, kind: str = "") -> str:
    return f"1 {kind}task" if number == 1 else f"{number} {kind}tasks"


def _held_up(scheduler: Scheduler, task: Task, gate: object, now: float) -> Gate:
    admission = scheduler.admission
    if isinstance(gate, Lane):
        head = gate.head(now)
        whom = f"task {head.name!r} of pipeline {head.pipeline.name!r}" if head is not None else "another task"
        return Gate("reserved", f"what it needs is free but kept for {whom}, which came first and needs more")
    if isinstance(gate, int):
        lacks = [(index, amount) for index, amount in task.needs if gate >> index & 1]
        rates = [need for need in lacks if need[0] in admission.rates]
        if rates and len(rates) == len(lacks):
            at = admission.ready_at(task.needs, now)
            names = " and ".join(admission.names[index] for index, _ in rates)
            return Gate(
                "quota", f"it is next in its pipeline and waits for {names} for another {max(0.0, at - now):.3g} s"
            )
        if all(admission.free[index] >= amount for index, amount in lacks):
            limits = scheduler.selection.limits
            limited = [index for index, _ in lacks if index in limits]
            if not limited:  # it came back after the decision
                return _turn(scheduler, task)
            causes = scheduler.selection.causes
            loaded = causes.gone or f"the machine is loaded{_because(causes.limits)}"
            rules = " and ".join(_rule(admission, index, limits[index]) for index in limited)
            return Gate("degraded", f"{loaded}, so {rules} for now")
        if scheduler.overload.goes_last(task.priority, aged(task, now)) and _others_want(scheduler, task):
            return _aside(scheduler, task)
        parts = [f"{admission.names[index]} ({_lacks(admission, index, amount)})" for index, amount in lacks]
        reason = f"it is next in its pipeline and waits for {' and '.join(parts)}"
        critical = _critical_elsewhere(scheduler, task, gate)
        if critical:
            return Gate("resource", f"{reason}; critical work of {critical} first")
        first = _due_first(scheduler, task, gate)
        return Gate("resource", f"{reason}; by their shares {first} first" if first else reason)
    if gate == "overload":
        overload = scheduler.overload
        long = waited(overload.interactive_wait, INTERACTIVE_TARGET_S)
        most = f"{overload.batch_share:.0%} of anything"
        return Gate("overload", f"urgent work waited {long}, so other work holds at most {most} for now")
    return _left_out(scheduler, task)


def _left_out(scheduler: Scheduler, task: Task) -> Gate:
    degraded = f"the engine is degraded{_because(scheduler.selection.causes.classes)}"
    return Gate("degraded", f"{degraded} and starts no {_class(task.priority)} work")


def _because(cause: str) -> str:
    return f" ({cause})" if cause else ""


def _lacks(admission: Admission, index: int, amount: int) -> str:
    needed = f"needs {admission.shown(index, amount)}"
    if amount > admission.capacity[index]:  # it has been lowered since
        return f"{needed}, and there is no more than {admission.shown(index, admission.capacity[index])} now"
    return f"{needed}, free {admission.shown(index, max(0, admission.free[index]))}"


def _turn(scheduler: Scheduler, task: Task) -> Gate:
    pipeline = task.pipeline
    others = [other for other in scheduler.shares.backlogged if other is not pipeline]
    if pipeline.burst.cooling and others:
        selection = scheduler.selection
        reason = f"pipeline {pipeline.name!r} used up its burst credit"
        if not selection.burst_allowed:
            reason = f"the engine is degraded{_because(selection.causes.level)} and gives no burst credit"
        return Gate("burst", f"{reason}, so others go first")
    if task.lane.gate == "aside":
        return _aside(scheduler, task)
    first = _due_first(scheduler, task, task.mask)
    if first:
        return Gate("share", f"pipeline {pipeline.name!r} had more than its share, so {first} first")
    return Gate("next", "it is next in its pipeline and starts at the next decision")


def _due_first(scheduler: Scheduler, task: Task, mask: int) -> str:
    """Return which pipelines with work for the same resources are due before a task's own, in words."""
    due = [
        repr(other.name)
        for other in sorted(scheduler.shares.backlogged, key=attrgetter("v"))
        if other.v < task.pipeline.v and any(lane.size and lane.mask & mask for lane in other.queue.contenders)
    ]
    return _come(due)


def _critical_elsewhere(scheduler: Scheduler, task: Task, mask: int) -> str:
    """Return which other pipelines have critical work for the same resources, which goes before all else, in words."""
    if task.priority == Priority.CRITICAL:
        return ""
    return _come(
        [
            repr(other.name)
            for other in scheduler.shares.backlogged
            if other is not task.pipeline
            and other.queue.critical
            and any(lane.size and lane.mask & mask and lane.used & 1 for lane in other.queue.contenders)
        ]
    )


def _come(pipelines: list[str]) -> str:
    if not pipelines:
        return ""
    names = ", ".join(pipelines[:3])
    return f"pipeline {names} comes" if len(pipelines) == 1 else f"pipelines {names} come"


def _others_want(scheduler: Scheduler, task: Task) -> bool:
    """Return whether something else waits for what a task needs."""
    return any(
        lane.size > (lane is task.lane) and lane.mask & task.mask
        for pipeline in scheduler.shares.backlogged
        for lane in pipeline.queue.contenders
    )


def _aside(scheduler: Scheduler, task: Task) -> Gate:
    return Gate("overload", f"{scheduler.overload.why_last()}, so {_class(task.priority)} work goes last")


def _rule(admission: Admission, index: int, limit: int) -> str:
    if limit <= 0:
        return f"tasks that need {admission.names[index]} run one at a time"
    return f"tasks hold at most {admission.shown(index, limit)}"

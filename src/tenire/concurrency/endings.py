"""How a task ended, and where it is, in words."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter
from types import CoroutineType
from typing import TYPE_CHECKING, Any, cast

from tenire.concurrency.handle import ANYWHERE, LOOP, PLACES, PROCESS, Explanation, Handle
from tenire.core.tasks import DONE
from tenire.errors import DeadlockError, DependencyError, TaskError, TaskTimeoutError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tenire.core.admission import Admission
    from tenire.core.doom import Doom
    from tenire.core.explain import Gate
    from tenire.core.history import History
    from tenire.core.scheduler import Scheduler
    from tenire.core.tasks import Task
    from tenire.errors import ComponentError

__all__ = [
    "deadlock",
    "dependency_failed",
    "explain",
    "given_up",
    "goes_on",
    "held_by_abandoned",
    "in_words",
    "interrupt",
    "left_unrun",
    "missed_deadline",
    "own_end",
    "took_too_long",
    "without_this_frame",
]

_WORTH_TELLING_S = 0.1
_MOST_NAMED = 5
_LONG_S = 10.0
"""From when on who holds something is named to those who wait for it."""
_MOST_IN_CHAIN = 20
_WORTH_TELLING_RATIO = 0.1


def without_this_frame(error: BaseException) -> BaseException:
    """Return an exception whose traceback begins after the function that caught it.

    That function's frame holds the handle, which holds the exception: the circle, with
    all that stands in the frames below, would wait for the garbage collector.
    """
    traceback = error.__traceback__
    return error if traceback is None else error.with_traceback(traceback.tb_next)


def left_unrun(handle: Handle[Any], value: Any) -> TaskError | None:
    """Return the error of a plain function whose value is a coroutine, which nobody would ever run."""
    if type(value) is not CoroutineType:
        return None
    message = f"task {handle.name!r} ran in a thread and returned a coroutine, {value.__qualname__}, which never ran"
    value.close()
    return TaskError(message, task=handle.name, hint='pass on="loop", or the coroutine function itself')


def in_words(error: BaseException) -> str:
    """Return what an exception says, or its class if it says nothing; never raises."""
    try:
        return str(error) or type(error).__name__
    except Exception:  # noqa: BLE001 - it is somebody else's code, and we only tell what happened
        return f"{type(error).__name__}, which cannot be turned into text"


def given_up(handle: Handle[Any], error: ComponentError) -> TaskError:
    """Return the error of a task whose engine cannot go on."""
    ended = TaskError(f"task {handle.name!r} was given up with its engine: {error}", task=handle.name)
    ended.__cause__ = error
    return ended


def missed_deadline(handle: Handle[Any], reason: str) -> TaskTimeoutError:
    """Return the error of a task that did not make its deadline."""
    what, hint = ("permit", "a later deadline") if handle.is_permit else ("task", "a later deadline, or less to do")
    message = f"{what} {handle.name!r} missed its deadline: {reason}"
    return TaskTimeoutError(message, task=handle.name, hint=f"give it {hint}")


def took_too_long(handle: Handle[Any]) -> TaskTimeoutError:
    """Return the error of a task that one try of took longer than its timeout."""
    message = f"task {handle.name!r} ran longer than its timeout of {handle.timeout:g} s"
    return TaskTimeoutError(message, task=handle.name, hint="give it a longer timeout, or less to do")


def interrupt(error: KeyboardInterrupt) -> None:
    """Raise what a task raised, where it is the loop's affair."""
    raise error


def dependency_failed(handle: Handle[Any], doom: Doom) -> DependencyError:
    """Return the error of a task that waited for one that failed."""
    cause = cast("Handle[Any]", doom.cause)
    message = f"task {handle.name!r} never ran: {doom.reason}"
    error = DependencyError(message, task=handle.name, dependency=cause.name)
    error.__cause__ = cause.error
    return error


def deadlock(holder: Task, target: Handle[Any], scheduler: Scheduler) -> DeadlockError:
    """Return the error of a task that must not wait for another."""
    admission = scheduler.admission
    if holder is target:
        message = f"task {holder.name!r} waits for itself"
        return DeadlockError(message, task=holder.name)
    circle = scheduler.waits.circle(holder, target)
    if circle:
        message = f"task {holder.name!r} would wait for ever for {target.name!r}: {_chain(circle)}"
        return DeadlockError(message, task=holder.name, hint="have one of them end without waiting for the next")
    held = " and ".join(admission.named(holder.holds()))
    also = f": {holder.name!r} holds {held} until it ends" if held else ""
    stands = _stands(target, holder, admission)
    message = f"task {holder.name!r} would wait for ever for {target.name!r}, which {stands}{also}"
    hint = "wait for it outside the task, pass it on with after=[…], or give the engine more"
    return DeadlockError(message, task=holder.name, hint=hint)


def goes_on(holder: Task) -> bool:
    """Return whether a holder has not ended, and is not on a thread, of which nobody knows for what it waits."""
    root = holder.root()
    return not isinstance(root, Handle) or (root.on == LOOP and not root.done())


def own_end(holder: Task) -> DeadlockError:
    """Return the error of code of a holder that wants to wait until all that runs has ended."""
    what = "task" if isinstance(holder.root(), Handle) else "the holder of permit"
    message = f"{what} {holder.name!r} would wait for its own end: shutdown() waits for all tasks and permits"
    hint = "await it outside of them, or with cancel=True"
    return DeadlockError(message, task=holder.name, hint=hint)


def _chain(circle: list[Task]) -> str:
    """Return tasks of which each waits for the next, in words."""
    names = [task.name for task in circle]
    if len(names) > _MOST_IN_CHAIN:
        left_out = len(names) - _MOST_IN_CHAIN
        names[_MOST_IN_CHAIN // 2 : -_MOST_IN_CHAIN // 2] = [f"… ({left_out} more) …"]
    return " → ".join(names)


def _stands(target: Handle[Any], holder: Task, admission: Admission) -> str:
    """Return what keeps a task that a holder wants to wait for from ending."""
    if target.state_name() == "running":
        return f"is running and waits in turn, itself or through others, for {holder.name!r}"
    unfinished = [other.name for other in target.after if other.state < DONE]
    if unfinished:
        named = ", ".join(repr(name) for name in unfinished[:3])
        return f"waits for {named}" + (f" and {len(unfinished) - 3} more" if len(unfinished) > 3 else "")
    needs = " and ".join(admission.shown(index, amount) for index, amount in target.needs) or "nothing"
    return f"is {target.state_name()} and needs {needs}"


def explain(handle: Handle[Any], state: str, asked: Task | None, gate: Gate | None, history: History) -> Explanation:
    """Return why a task is where it is.

    Args:
        handle: The task.
        state: Its state, as people see it.
        asked: What waits: the task itself, or what it waits for while it runs.
        gate: What the scheduler says holds that back; or what a task that runs waits for outside of the engine.
        history: What is known of tasks of its name.
    """
    if state == "running":
        reason = f"it runs {'on the' if handle.on == LOOP else 'in a'} {PLACES[handle.on]}, try {handle.attempts}"
        if handle.on in (PROCESS, ANYWHERE) and handle.worker is not None:
            reason += f", worker {handle.worker!r}"
        if asked is not None and gate is not None:
            what = "the permit" if asked.is_permit else "the task"
            reason += f", and waits for {what} {asked.name!r}: {gate.reason}"
            if not asked.is_permit:
                gate = None  # nothing holds this one back
        elif gate is not None:
            reason += f", and waits {gate.reason}"
    elif gate is not None:
        reason = gate.reason + _known(handle.name, history)
    elif handle.cancelled():
        reason = "it was cancelled"
    elif handle.error is None:
        reason = "it returned its value"
    else:
        reason = in_words(handle.error)
    return Explanation(handle.name, handle.pipeline.name, state, reason, "none" if gate is None else gate.name)


def held_by(explanation: Explanation, holders: Iterable[Handle[Any]], now: float) -> Explanation:
    """Add to an explanation who has held for long what a task lacks."""
    long = sorted((each for each in holders if now - each.started_at >= _LONG_S), key=attrgetter("started_at", "seq"))
    if not long:
        return explanation
    names = [(each.args[0] if each.is_permit else each).name for each in long[:_MOST_NAMED]]
    named = [f"{name!r} ({now - each.started_at:.0f} s)" for name, each in zip(names, long, strict=False)]
    more = f" and {len(long) - _MOST_NAMED} more" if len(long) > _MOST_NAMED else ""
    return replace(explanation, reason=f"{explanation.reason}; held for long by {', '.join(named)}{more}")


def held_by_abandoned(explanation: Explanation, names: Sequence[str]) -> Explanation:
    """Add to an explanation that threads are held by functions that go on after their tasks have ended."""
    if not names:
        return explanation
    shown = ", ".join(repr(name) for name in names[:_MOST_NAMED]) + (", …" if len(names) > _MOST_NAMED else "")
    reason = f"{explanation.reason}; {len(names)} thread(s) still run functions whose tasks have ended: {shown}"
    return replace(explanation, reason=reason)


def _known(name: str, history: History) -> str:
    """Return what is known of tasks of a name, if it is worth telling."""
    usual, failing = history.usual(name), history.failure_ratio(name)
    known = [f"such tasks usually take {usual:.2g} s"] if usual is not None and usual >= _WORTH_TELLING_S else []
    if failing is not None and failing >= _WORTH_TELLING_RATIO:
        known.append(f"{failing:.0%} of them failed lately")
    return f" ({', '.join(known)})" if known else ""

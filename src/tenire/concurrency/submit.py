"""What the arguments of ``submit`` mean."""

from __future__ import annotations

import inspect
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any

from tenire.concurrency.handle import ANYWHERE, LOOP, PROCESS, THREAD
from tenire.concurrency.sendable import check_sendable
from tenire.core.admission import CPU, PROCESSES, RESIDENT, THREADS
from tenire.core.tasks import CPU_UNIT, Needs, Priority, Resources, is_number
from tenire.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.core.scheduler import Scheduler

__all__ = [
    "amount_of",
    "call_on_loop",
    "due_at",
    "is_coroutine_function",
    "name_of",
    "needs_of",
    "number_of",
    "place_of",
    "priority_of",
    "resources_of",
    "runs_always",
    "text_of",
    "timeout_of",
]

_PLACES = {"loop": LOOP, "thread": THREAD, "process": PROCESS, "anywhere": ANYWHERE}
MEMORY_NAME = "memory"
_ONE_THREAD: Needs = ((THREADS, 1),)
_ONE_CPU: Needs = ((CPU, CPU_UNIT),)
_MUCH_MEMORY = 64 << 20
"""Bytes from which on a task is charged what such tasks took beyond what they said."""
_FOR_EVER_S = 1e9
"""A deadline later than that is none: thirty years."""

_COROUTINE_FLAGS = inspect.CO_COROUTINE | inspect.CO_ITERABLE_COROUTINE


def is_coroutine_function(fn: Callable[..., Any]) -> bool:
    """Return whether calling ``fn`` makes a coroutine."""
    if type(fn) is FunctionType and not fn.__dict__:  # far the most frequent, and ten times cheaper to ask
        return bool(fn.__code__.co_flags & _COROUTINE_FLAGS)
    while isinstance(fn, partial):
        fn = fn.func
    if inspect.iscoroutinefunction(fn):
        return True
    # Calling a class makes an object, whatever calling that object would do.
    return not isinstance(fn, type) and inspect.iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004


def place_of(fn: Callable[..., Any], on: str) -> int:
    """Return where a function runs.

    Raises:
        ConfigError: If ``on`` is not one of auto, loop, thread, process and anywhere, if a
            coroutine function is to run anywhere but on the loop, or if the function
            cannot be sent to the process that it is to run in.
    """
    if not callable(fn):
        message = f"expected a function to submit, got {type(fn).__name__}"
        hint = "pass the function itself and its arguments, not a coroutine" if inspect.isawaitable(fn) else None
        if inspect.iscoroutine(fn):
            fn.close()
        raise ConfigError(message, key="fn", hint=hint)
    coroutine = is_coroutine_function(fn)
    if on == "auto":
        return LOOP if coroutine else THREAD
    place = _PLACES.get(on) if isinstance(on, str) else None
    if place is None:
        message = f"on must be one of auto, loop, thread, process, anywhere, got {on!r}"
        raise ConfigError(message, key="on")
    if coroutine and place != LOOP:
        message = f"a coroutine function runs on the loop, it cannot run on={on!r} ({name_of(fn)})"
        raise ConfigError(message, key="on", hint='pass on="auto", or a plain function')
    if place >= PROCESS:
        check_sendable(fn)
    return place


async def call_on_loop(fn: Callable[..., Any], *args: Any) -> Any:
    """Call a plain function on the loop; if it returns something to await, await that."""
    value = fn(*args)
    return await value if inspect.isawaitable(value) else value


def needs_of(scheduler: Scheduler, needs: Resources | None, *, on: int, worker: str | None, name: str) -> Needs:
    """Return what a task takes: what it asked for, or the default of its place.

    Raises:
        ConfigError: If it needs a resource that does not exist.
        RejectedError: If it needs more than the whole engine has.
    """
    if needs is not None:
        if not isinstance(needs, Resources):
            resources_of(needs, name=name)
        wanted = scheduler.admission.needs(needs, task=name)
        if on == THREAD and not needs.cpu and all(index != THREADS for index, _ in wanted):
            return (*wanted, *_ONE_THREAD)  # or a thousand small needs would be a thousand threads
        if on < PROCESS or worker is not None:
            return wanted
        wanted = _with_usual_memory(scheduler, wanted, name, said=needs.memory)
        if needs.cpu or any(index == PROCESSES for index, _ in wanted):
            return wanted
        return (*wanted, (PROCESSES, 1))
    if on == THREAD:
        return _ONE_THREAD
    if on < PROCESS or worker is not None:
        return ()
    whole = scheduler.admission.capacity[CPU]
    slot = _ONE_CPU if whole >= CPU_UNIT else ((CPU, whole),) if whole else ((PROCESSES, 1),)
    return _with_usual_memory(scheduler, slot, name, said=0)


def resources_of(needs: Any, *, name: str) -> Resources:
    """Return needs as given.

    Raises:
        ConfigError: If they are no ``Resources``.
    """
    if not isinstance(needs, Resources):
        message = f"needs must be tenire.Resources(…), got {type(needs).__name__} (task {name!r})"
        raise ConfigError(message, key="needs")
    return needs


def _with_usual_memory(scheduler: Scheduler, needs: Needs, name: str, *, said: int) -> Needs:
    """Add what the processes of such tasks took so far beyond what they said, if that is much.

    Taken from the machine's memory and not from the budget of bytes in flight: whoever
    holds bytes waits for such tasks, and they must not wait for those bytes.
    """
    admission = scheduler.admission
    usual = scheduler.history.expected_memory(name)
    index = admission.index_of(RESIDENT)
    # What a task said it holds in any case: that is a promise, and history can only add to it.
    if usual is None or usual - said < _MUCH_MEMORY or index is None:
        return needs
    return (*needs, (index, min(usual - said, admission.capacity[index])))


def number_of(name: str, value: float, *, least: float = 0, most: float = 1e18) -> float:
    """Return a number that has to be in a range.

    Raises:
        ConfigError: If it is not.
    """
    if not is_number(value) or not least <= value <= most:
        message = f"{name} must be a number from {least:g} to {most:g}, got {value!r}"
        raise ConfigError(message, key=name)
    return value


def amount_of(name: str, amount: float, *, least: float = 0) -> int:
    """Return an amount of a resource in the core's units.

    Raises:
        ConfigError: If it is not a number from ``least`` on, or a fraction of what is counted.
    """
    if not isinstance(name, str):
        message = f"the name of a resource must be text, got {name!r}"
        raise ConfigError(message, key="name")
    number_of(name, amount, least=least)
    if name == "cpu":
        return round(amount * CPU_UNIT)
    if amount != int(amount) and name not in (MEMORY_NAME, RESIDENT):
        message = f"{name} must be a whole number, got {amount!r}"
        raise ConfigError(message, key=name)
    return int(amount)


def due_at(deadline: float, now: float, *, name: str) -> float | None:
    """Return a deadline as a time; ``None`` if it is infinite.

    Raises:
        ConfigError: If it is not a number.
    """
    if not is_number(deadline) or deadline != deadline:
        message = f"deadline must be a number of seconds from now, got {deadline!r} (task {name!r})"
        raise ConfigError(message, key="deadline")
    return now + max(deadline, 0.0) if deadline < _FOR_EVER_S else None


def text_of(what: str, given: Any) -> str:
    """Return a name as given.

    Raises:
        ConfigError: If it is no text.
    """
    if not isinstance(given, str):
        message = f"{what} must be text, got {given!r}"
        raise ConfigError(message, key=what)
    return given


def timeout_of(timeout: float, *, name: str) -> float | None:
    """Return the seconds that one try may take; ``None`` if there is no limit.

    Raises:
        ConfigError: If it is not a positive number.
    """
    if not is_number(timeout) or not timeout > 0:
        message = f"timeout must be a positive number of seconds, got {timeout!r} (task {name!r})"
        raise ConfigError(message, key="timeout")
    return timeout if timeout < _FOR_EVER_S else None


def name_of(fn: Callable[..., Any]) -> str:
    """Return a function's name for people."""
    name = getattr(fn, "__qualname__", None)
    if name is not None:
        return str(name)
    inner = getattr(fn, "func", None)  # functools.partial
    return name_of(inner) if inner is not None else type(fn).__name__


def priority_of(priority: str | int) -> Priority:
    """Return a priority given as a name or a number.

    Raises:
        ConfigError: If there is no such priority.
    """
    if type(priority) is Priority:
        return priority
    if isinstance(priority, str):
        return Priority.parse(priority)
    try:
        return Priority(priority)
    except ValueError:
        message = f"priority must be one of tenire.Priority, got {priority!r}"
        raise ConfigError(message, key="priority") from None


def runs_always(trigger: str) -> bool:
    """Return whether a task runs however those that it waits for end.

    Raises:
        ConfigError: If there is no such trigger.
    """
    if trigger not in ("success", "done"):
        message = f'trigger must be "success" (all of after succeeded) or "done" (all of them ended), got {trigger!r}'
        raise ConfigError(message, key="trigger")
    return trigger == "done"

"""Takes tasks in from any thread, and keeps track of them until they end and a little longer."""

from __future__ import annotations

from contextvars import copy_context
from inspect import CO_COROUTINE
from threading import get_ident
from types import FunctionType
from typing import TYPE_CHECKING, Any

from tenire.concurrency.handle import LOOP, PROCESS, Handle
from tenire.concurrency.holding import HOLDER
from tenire.concurrency.loops.forks import FORKED, on_fork
from tenire.concurrency.submit import (
    call_on_loop,
    is_coroutine_function,
    name_of,
    needs_of,
    place_of,
    priority_of,
    runs_always,
    text_of,
    timeout_of,
)
from tenire.concurrency.task_groups import TaskGroup
from tenire.core.tasks import Priority, Resources, Retry
from tenire.errors import ConfigError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tenire.concurrency.ended_tasks import EndedTask
    from tenire.concurrency.orchestrator import Orchestrator
    from tenire.core.tasks import Needs, Task

__all__ = ["AsyncTaskManager"]


class AsyncTaskManager:
    """The door through which every task comes.

    Attributes:
        accepting: Whether new tasks are taken.
    """

    def __init__(self, orchestrator: Orchestrator) -> None:
        self._orchestrator = orchestrator
        self.accepting = True
        self._refusal = "the engine is closing"
        on_fork(self)

    def submit(
        self,
        fn: Callable[..., Any],
        /,
        *args: Any,
        name: str | None = None,
        priority: Priority | str = Priority.NORMAL,
        pipeline: str = "default",
        after: Iterable[Handle[Any]] = (),
        needs: Resources | None = None,
        deadline: float | None = None,
        timeout: float | None = None,
        retry: Retry | None = None,
        on: str = "auto",
        worker: str | None = None,
        trigger: str = "success",
        group: TaskGroup | None = None,
    ) -> Handle[Any]:
        """Submit a task; see ``ConcurrencyManager.submit``."""
        # One flat function: it runs once for every task, and each call that it does
        # not make is a hundredth of what a task costs in all.
        orchestrator = self._orchestrator
        if not self.accepting:
            message = f"{self._refusal} and takes no new task ({name or name_of(fn)!r})"
            raise RejectedError(message, hint="submit before the `with` block ends")
        if on == "auto" and type(fn) is FunctionType and fn.__code__.co_flags & CO_COROUTINE:
            place = LOOP
        else:
            place = place_of(fn, on)
        if worker is not None and (place < PROCESS or not isinstance(worker, str)):
            message = f'worker={worker!r} names a worker process, so it is text and needs on="process", got on={on!r}'
            raise ConfigError(message, key="worker")
        if name is None:
            name = fn.__qualname__ if type(fn) is FunctionType else name_of(fn)
        elif type(name) is not str:
            name = text_of("name", name)
        if type(priority) is not Priority:
            priority = priority_of(priority)
        if place == LOOP and on == "loop" and not is_coroutine_function(fn):
            fn, args = call_on_loop, (fn, *args)
        if retry is not None and not isinstance(retry, Retry):
            message = f"retry must be tenire.Retry(…), got {retry!r} (task {name!r})"
            raise ConfigError(message, key="retry")
        scheduler = orchestrator.scheduler
        if place != LOOP or (needs is not None and type(needs) is not Resources):
            wanted: Needs = needs_of(scheduler, needs, on=place, worker=worker, name=name)
        else:
            wanted = () if needs is None else scheduler.admission.needs(needs, name)
        try:
            share = scheduler.shares.pipelines.get(pipeline) or scheduler.shares.pipeline(pipeline)
        except TypeError:  # it cannot be hashed
            text_of("pipeline", pipeline)
            raise
        handle: Handle[Any] = Handle(
            share,
            name,
            priority,
            wanted,
            None if deadline is None else orchestrator.due(deadline, name=name),
            fn,
            args,
            place,
            copy_context(),
            retry,
            worker,
            orchestrator,
            trigger != "success" and runs_always(trigger),
        )
        if timeout is not None:
            handle.timeout = timeout_of(timeout, name=name)
        before = self._dependencies(handle, after) if after else ()
        holder = HOLDER.get()
        if holder is not None or group is not None:
            self._belongs(handle, holder, group)
        if get_ident() == orchestrator.thread:
            try:
                orchestrator.accept(handle, before)
            except RuntimeError:
                if orchestrator.reachable():
                    raise
                raise self._too_late(handle) from None
        elif not orchestrator.on_loop(orchestrator.accept, handle, before) or orchestrator.closed:
            # If it closed just now the loop may never come to it.
            raise self._too_late(handle)
        return handle

    def _too_late(self, handle: Handle[Any]) -> RejectedError:
        """Return why a task is refused that came when the loop took nothing any more."""
        if handle.group is not None:
            handle.group.leave_out(handle)
        gone = self._orchestrator.gone
        why = f", which {gone}" if gone else ""
        return RejectedError(f"the engine is closed and takes no new task ({handle.name!r}{why})")

    def _belongs(self, handle: Handle[Any], holder: Task | None, group: TaskGroup | None) -> None:
        """Note who submits a task, and take it into its group."""
        if group is not None and (type(group) is not TaskGroup or group.orchestrator is not self._orchestrator):
            message = f"group must be one that async_tasks.group() of this engine made, got {group!r}"
            raise ConfigError(f"{message} (task {handle.name!r})", key="group")
        parent = holder.root() if holder is not None else None
        if isinstance(parent, Handle) and parent.orchestrator is self._orchestrator:
            handle.parent = parent.seq
            group = group or parent.group
        if group is not None:
            group.take_in(handle)

    def _dependencies(self, handle: Handle[Any], after: Iterable[Handle[Any]]) -> tuple[Handle[Any], ...]:
        dependencies = after if type(after) is tuple else self._all_of(handle, after)
        orchestrator = self._orchestrator
        for dependency in dependencies:
            if type(dependency) is not Handle or dependency.orchestrator is not orchestrator:
                self._refuse(handle, dependency)
        return dependencies

    def _all_of(self, handle: Handle[Any], after: Iterable[Handle[Any]]) -> tuple[Handle[Any], ...]:
        if isinstance(after, Handle):
            message = f"after must be a list of handles, got one handle (task {handle.name!r})"
            raise ConfigError(message, key="after", hint=f"pass after=[{after.name}]")
        # Not asked first: the answer of an abstract class costs more than all the rest here.
        try:
            each = iter(after)
        except TypeError:
            message = f"after must be a list of handles, got {after!r} (task {handle.name!r})"
            raise ConfigError(message, key="after") from None
        return tuple(each)

    def _refuse(self, handle: Handle[Any], dependency: Any) -> None:
        if not isinstance(dependency, Handle):
            message = (
                f"after must hold handles that submit() returned, got {type(dependency).__name__} "
                f"(task {handle.name!r})"
            )
            raise ConfigError(message, key="after")
        message = f"task {handle.name!r} cannot wait for {dependency.name!r}, which belongs to another engine"
        raise ConfigError(message, key="after")

    def refuse(self, reason: str) -> None:
        """Take no new task from now on, and say why."""
        self.accepting = False
        self._refusal = reason

    def forked(self) -> None:
        """Refuse everything in a child process made by ``fork``; see ``loops.forks``."""
        self.accepting = False
        self._refusal = FORKED
        orchestrator = self._orchestrator
        orchestrator.gone = f"runs elsewhere: {FORKED}"  # what nobody ends here is settled when it is asked for
        if orchestrator.on_own_thread():  # or at once, since the copy of the loop may go on, and those who wait there
            for handle in self.unfinished():
                handle.settle(None, RejectedError(f"task {handle.name!r} {orchestrator.gone}"))

    def group(self, name: str = "group", *, keep_going: bool = False) -> TaskGroup:
        """Return a group: a context manager that is left when all tasks that were submitted in it have ended.

        Args:
            name: For people.
            keep_going: Whether the others run to their end when one fails. Otherwise they
                are cancelled, and the block is interrupted.
        """
        return TaskGroup(self.submit, self._orchestrator, text_of("name", name), keep_going=keep_going)

    def ended(self) -> list[EndedTask]:
        """Return the last 1,000 tasks that have ended, the oldest first; from any thread."""
        return self._orchestrator.ended.all()

    def unfinished(self) -> list[Handle[Any]]:
        """Return every task that has not ended, waiting ones included."""
        return self._orchestrator.everything()

    def names_running(self) -> list[str]:
        """Return the names of the coroutines that run now."""
        return [handle.name for handle in self._orchestrator.unfinished() if handle.on == LOOP]

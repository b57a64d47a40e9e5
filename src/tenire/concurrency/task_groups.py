"""Tasks that belong together: none of them outlives the block that they were submitted in.

::

    NEW ──► OPEN ──► ENDING ──► CLOSED        (never back)

1. What a task of the group submits belongs to the group too, however deep, unless it is
   submitted to another one.
2. The block is left when every task of the group has ended. Until then it takes more.
3. If one fails, or the block does, the others are cancelled, leaves first, and all that
   went wrong is raised together. With ``keep_going`` the others run to their end.
4. A task that was cancelled by itself is no failure. One that never ran because another
   one of the group failed is told of by that one.
"""

from __future__ import annotations

import asyncio
import threading
from asyncio import CancelledError
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Literal

from tenire.concurrency.holding import HOLDER
from tenire.concurrency.unbroken import unbroken
from tenire.concurrency.unwinding import unwind
from tenire.errors import ConfigError, DeadlockError, DependencyError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from tenire.concurrency.handle import Handle
    from tenire.concurrency.orchestrator import Orchestrator
    from tenire.core.tasks import Task

__all__ = ["TaskGroup"]

_MOST_KEPT = 1000
"""Failures that are raised; of more only the number is told."""

_GRACE_S = 10.0
"""Seconds after which tasks that go on though they were cancelled are cancelled once more."""


class _State(IntEnum):
    NEW, OPEN, ENDING, CLOSED = range(4)


_WHY = {
    _State.NEW: "has not been entered",
    _State.ENDING: "is ending",
    _State.CLOSED: "has ended",
}


class _EndedEarlyError(Exception):
    """Interrupts the block of a group that was cancelled, or in which a task failed."""


class TaskGroup:
    """A context manager: ``async with`` on the engine's loop, ``with`` on any other thread.

    Made by ``AsyncTaskManager.group``. It is for tasks of the engine what
    ``asyncio.TaskGroup`` is for coroutines, and raises the same.

    Attributes:
        name: For people.
        orchestrator: The engine's.
        submitted: Tasks that came into it.
    """

    def __init__(
        self, submit: Callable[..., Handle[Any]], orchestrator: Orchestrator, name: str, *, keep_going: bool
    ) -> None:
        self.name = name
        self.orchestrator = orchestrator
        self.submitted = 0
        self._submit = submit
        self._keep_going = keep_going
        self._members: dict[Handle[Any], None] = {}
        self._failures: list[Handle[Any]] = []
        self._failed = 0
        self._cancelled = False
        self._leaving = False
        self._state = _State.NEW
        self._guard = threading.Lock()
        self._block = asyncio.TaskGroup()
        self._over: asyncio.Future[None]
        self._holder: Task | None = None
        self._waits_itself = False
        self._awaited: list[Handle[Any]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **keywords: Any) -> Handle[Any]:
        """Submit a task to the group; see ``ConcurrencyManager.submit``.

        Raises:
            RejectedError: If the group has ended, or was cancelled, or has not been entered.
        """
        return self._submit(fn, *args, group=self, **keywords)

    def unfinished(self) -> list[Handle[Any]]:
        """Return its tasks that have not ended, in the order in which they came."""
        return [handle for handle in list(self._members) if not handle.done()]

    def cancel(self) -> None:
        """Cancel its tasks, leaves first, and interrupt the block, which is left without an error; from any thread."""
        self.orchestrator.on_loop(self._cancel)

    # -- what belongs to it -----------------------------------------------

    def take_in(self, handle: Handle[Any]) -> None:
        """Take in a task that is about to be submitted; from any thread.

        Raises:
            RejectedError: If the group takes none.
        """
        with self._guard:
            if self._state is not _State.OPEN:
                message = f"the group {self.name!r} {_WHY[self._state]} and takes no task ({handle.name!r})"
                raise RejectedError(message, hint="submit inside of its `with` block")
            self._members[handle] = None
            self.submitted += 1
        handle.group = self
        handle.callbacks = [self._ended]
        if self._leaving:
            self.orchestrator.loop.call_soon_threadsafe(self._await_too, handle)

    def leave_out(self, handle: Handle[Any]) -> None:
        """Take in that the engine refused a task after all; from any thread."""
        self._members.pop(handle, None)
        self.orchestrator.on_loop(self._look)

    def _ended(self, handle: Handle[Any]) -> None:
        self._members.pop(handle, None)
        error = handle.error
        if error is not None and not isinstance(error, CancelledError):
            self._note(handle)
            if not self._keep_going:
                self._end_early()
        self._look()

    def _note(self, handle: Handle[Any]) -> None:
        root = handle.error
        while isinstance(root, DependencyError) and root.__cause__ is not None:
            root = root.__cause__
        if any(root is known.error for known in self._failures):
            return
        self._failed += 1
        if len(self._failures) < _MOST_KEPT:
            self._failures.append(handle)

    # -- waiting for all of it ----------------------------------------------

    def _await_all(self) -> None:
        """Take in that the block, which may hold something, waits for every task.

        Raises:
            DeadlockError: If it would wait for ever.
        """
        self._holder = HOLDER.get()
        if self._holder is not None:
            self._waits_itself = self.orchestrator.waits_itself(self._holder)
        for handle in self.unfinished():
            self._await(handle)

    def _await(self, handle: Handle[Any]) -> None:
        if self._holder is not None:
            self.orchestrator.begin_wait(self._holder, handle, itself=self._waits_itself)
            self._awaited.append(handle)

    def _await_too(self, handle: Handle[Any]) -> None:
        """Wait for one that came while the block is being left."""
        try:
            self._await(handle)
        except DeadlockError as error:
            if not self._over.done():
                self._over.set_exception(error)

    def _look(self) -> None:
        """Close it if it is being left and nothing is left in it."""
        with self._guard:
            over = self._leaving and not self._members
            if over:
                self._state = _State.CLOSED
        if over and not self._over.done():
            self._over.set_result(None)

    # -- the end ----------------------------------------------------------

    def _cancel(self) -> None:
        self._cancelled = True
        self._end_early()

    def _end_early(self) -> None:
        with self._guard:
            if self._state is not _State.OPEN:
                return
            self._state = _State.ENDING
        if not self._over.done():
            self._over.set_exception(_EndedEarlyError())

    async def _end_all(self) -> None:
        """Cancel what is left, and wait until it has ended."""
        self._end_early()
        if not self._over.cancelled():
            self._over.exception()  # who should be told is told by what is raised
        again = False
        while await unwind(lambda: list(self._members), grace=_GRACE_S, again=again):
            again = True
        self._state = _State.CLOSED
        if self._holder is not None:
            for handle in self._awaited:
                self.orchestrator.end_wait(self._holder, handle)

    def _raise(self, others: list[BaseException]) -> None:
        """Raise what went wrong, if anything did."""
        failures = [handle.error for handle in self._failures if handle.error is not None]
        if not others and not failures:
            return
        for handle in self._failures:
            self.orchestrator.unseen.discard(handle)
        count = len(others) + self._failed
        message = f"{count} failure{'' if count == 1 else 's'} in the group {self.name!r}"
        raise BaseExceptionGroup(message, others + failures)

    # -- its block ----------------------------------------------------------

    def _open(self) -> None:
        if self._state is not _State.NEW:
            message = f"the group {self.name!r} {_WHY.get(self._state, 'was entered')} already; make a new one"
            raise ConfigError(message, key="group")
        self._over = self.orchestrator.loop.create_future()
        self._state = _State.OPEN

    async def _keep(self) -> None:
        """Stand in the block for every task: if this fails, the block is interrupted."""
        await self._over

    async def __aenter__(self) -> Self:
        if asyncio.get_running_loop() is not self.orchestrator.loop:
            message = f"the group {self.name!r} was entered on another loop than the engine's"
            raise ConfigError(message, key="group", hint="submit what needs it as a task of the engine")
        self._open()
        await self._block.__aenter__()
        self._block.create_task(self._keep(), name=f"group {self.name}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._leaving = True
        others: list[BaseException] = []
        try:
            if error is None:
                try:
                    self._await_all()
                except DeadlockError as deadlock:
                    kind, error, traceback = type(deadlock), deadlock, deadlock.__traceback__
                self._look()
            await self._block.__aexit__(kind, error, traceback)
        except BaseExceptionGroup as raised:
            others = [each for each in raised.exceptions if not isinstance(each, _EndedEarlyError)]
        finally:
            await unbroken(self._end_all())
        self._raise(others)
        return self._cancelled

    def __enter__(self) -> Self:
        portal = self.orchestrator.portal
        portal.refuse_on_thread("group.__enter__", "`async with`")
        portal.call(self._open)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Literal[False]:
        deadlock = self.orchestrator.portal.wait(self._leave(failed=error is not None))
        if error is not None and not isinstance(error, Exception):
            return False
        self._raise([each for each in (error, deadlock) if each is not None])
        return False

    async def _leave(self, *, failed: bool) -> DeadlockError | None:
        self._leaving = True
        try:
            if not failed:
                self._await_all()
                self._look()
                await self._over
        except _EndedEarlyError:
            return None
        except DeadlockError as error:
            return error
        finally:
            await unbroken(self._end_all())
        return None

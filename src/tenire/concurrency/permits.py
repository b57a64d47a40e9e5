"""Permits: resources that running code holds for a while, beside what its task holds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tenire.concurrency.handle import PERMIT, Handle
from tenire.concurrency.holding import HOLDER, Holder
from tenire.concurrency.submit import priority_of, resources_of, text_of
from tenire.core.dependencies import inherit
from tenire.core.tasks import RUNNING
from tenire.errors import ConfigError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token
    from types import TracebackType

    from tenire.concurrency.orchestrator import Orchestrator
    from tenire.core.fair_share import PipelineShare
    from tenire.core.tasks import Needs, Priority, Resources, Task

__all__ = ["Permit"]


class Permit:
    """An async context manager that holds resources while it is open.

    It is queued, fair and explained like a task, and goes before tasks that have
    not started. Who holds something already may wait only for what comes after it
    in the order of asking: bytes, CPU, slots, rates. More of the same, or of what
    comes before, is granted at once or refused at once, since waiting for it could
    stop two holders for ever.

    Args:
        orchestrator: Who grants it.
        needs: What to hold; in the core's form, from those who know it.
        priority: Its class.
        pipeline: Whose share it is charged to.
        name: For explanations.
        deadline: Seconds to wait at the most; ``None`` for no limit.
        detached: Whether it belongs to nobody: for what is handed on to other code,
            which must be able to give it back without asking for more.
    """

    def __init__(
        self,
        orchestrator: Orchestrator,
        needs: Resources | Needs,
        *,
        priority: Priority | str,
        pipeline: str,
        name: str,
        deadline: float | None,
        detached: bool = False,
    ) -> None:
        self._orchestrator = orchestrator
        text_of("name", name)
        if isinstance(needs, tuple):
            self._needs = needs
        else:
            self._needs = orchestrator.scheduler.needs(resources_of(needs, name=name), task=name)
        self._priority = priority_of(priority)
        self._pipeline = pipeline
        self._name = name
        self._deadline = deadline
        self._detached = detached
        self._handle: Handle[None] | None = None
        self._token: Token[Task | None] | None = None

    async def __aenter__(self) -> Handle[None]:
        return await self.take()

    async def take(self, unused: Callable[[Handle[None]], object] | None = None) -> Handle[None]:
        """Hold it until ``give_back``, as soon as it is granted.

        Args:
            unused: Called if it was granted to somebody who was cancelled in the same moment.

        Raises:
            RejectedError: If it cannot be granted.
            ConfigError: If it is open already, or asked for on another loop than the engine's.
        """
        orchestrator = self._orchestrator
        if self._handle is not None:
            message = f"the permit {self._name!r} is open already; ask for another one"
            raise ConfigError(message, key="permit")
        if orchestrator.closed:
            message = f"the engine is closed and grants no permit ({self._name!r})"
            raise RejectedError(message)
        if asyncio.get_running_loop() is not orchestrator.loop:
            message = f"the permit {self._name!r} was asked for on another loop than the engine's"
            raise ConfigError(message, key="permit", hint="submit what needs it as a task of the engine")
        orchestrator.scheduler.admission.require(self._needs, self._name)  # a capacity may have been lowered since
        due = None if self._deadline is None else orchestrator.due(self._deadline, name=self._name)
        share = orchestrator.scheduler.shares.pipeline(self._pipeline)
        holder = self._holder(share)
        handle: Handle[None] = Handle(
            share, self._name, self._priority, self._needs, due,
            _nothing, (holder,), PERMIT, None, None, None, orchestrator,
        )  # fmt: skip
        self._handle = handle
        try:
            if orchestrator.request(handle, holder):
                await handle.wait_unowned()
        except BaseException:
            self._handle = None
            orchestrator.end_wait(holder, handle)
            # Granted and cancelled in the same turn of the loop: what was granted
            # must not be lost with the one who waited for it.
            if handle.state == RUNNING:
                if unused is not None:
                    unused(handle)
                orchestrator.end_permit(handle)
            self._leave()
            del handle, holder  # the traceback holds this frame, and they would hold the exception
            raise
        orchestrator.end_wait(holder, handle)
        return handle

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.give_back()

    def give_back(self) -> None:
        """Hold nothing any more; does nothing if it was not granted. What leaving its block does."""
        handle, self._handle = self._handle, None
        self._leave()
        if handle is not None:
            self._orchestrator.end_permit(handle)

    @property
    def asked(self) -> Handle[None] | None:
        """The record that waits, or holds; ``None`` before it was asked for and after it was given back."""
        return self._handle

    def renew(self, needs: Needs) -> bool:
        """Need other amounts of the same resources while it waits; return whether it does."""
        handle = self._handle
        if handle is None or not self._orchestrator.renew_permit(handle, needs):
            return False
        self._needs = needs
        return True

    def rise(self, priority: Priority) -> None:
        """Be of this class from now on, if it is more urgent; what waits keeps its place by age."""
        self._priority = min(self._priority, priority)
        if self._handle is not None:
            inherit(self._handle, priority)
            self._orchestrator.wake()

    def refuse(self, error: RejectedError) -> None:
        """End the waiting for it with an error; does nothing if nobody waits."""
        handle = self._handle
        if handle is not None and not handle.done():
            self._orchestrator.refuse_permit(handle, error)

    def _holder(self, share: PipelineShare) -> Task:
        outer = None if self._detached else HOLDER.get()
        holder = Holder(self._orchestrator, share, self._name, self._priority, outer)
        if not self._detached:
            self._token = HOLDER.set(holder)
        return holder

    def _leave(self) -> None:
        token, self._token = self._token, None
        if token is not None:
            try:  # noqa: SIM105 - contextlib costs each call half a microsecond
                HOLDER.reset(token)
            except ValueError:  # closed in another context than opened: there is nothing to put back there
                pass


def _nothing() -> Any:
    return None

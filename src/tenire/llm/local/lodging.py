"""The memory of a model on this machine: lent by its engine from before it is loaded until it has gone.

1. It is waited for like any other, and the tasks that need the model tell so (``explain``, ``why``).
2. More than the whole engine has is refused with the numbers: it would be waited for in vain.
3. What the model takes more than was thought is admitted once it was measured, if it is free.
4. Where tasks wait for memory a model goes that did nothing for ``SPARED_S``; while the machine is
   about to swap, any that does nothing.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tenire.concurrency.outside import waits_outside
from tenire.core.tasks import Priority, Resources
from tenire.errors import ConfigError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tenire.concurrency.handle import Handle
    from tenire.concurrency.manager import ConcurrencyManager
    from tenire.concurrency.periodic import Periodic
    from tenire.concurrency.permits import Permit

__all__ = ["SPARED_S", "Lodging", "require_room"]

SPARED_S = 2.0
"""Seconds after its last call for which a model is kept though tasks wait for memory."""

_PATIENCE_S = 1.0
"""For a permit for bytes that were free a moment ago."""


def require_room(name: str, memory: int, capacity: int) -> None:
    """Refuse a model that takes more memory than there will ever be.

    Args:
        name: Of the model.
        memory: Bytes that it is thought to take.
        capacity: Bytes that the engine shares out.

    Raises:
        ConfigError: If it does.
    """
    if memory > capacity:
        message = (
            f"the {name} takes about {_mebibytes(memory)} MiB of memory, "
            f"and all that the engine shares out is {_mebibytes(capacity)} MiB"
        )
        more = f'memory = "{_mebibytes(memory)}MiB"'
        hint = f"give it more ({more} at least in [tenire], or memory=… of ConcurrencyManager), or take a smaller model"
        raise ConfigError(message, key="memory", hint=hint)


class Lodging:
    """Has memory for one model; used on the engine's loop.

    Args:
        manager: The engine.
        name: What the model is called.
        memory: Bytes that it is thought to take.
        leave: Ends the model's worker, now; called before its memory is given back.
    """

    def __init__(self, manager: ConcurrencyManager, name: str, memory: int, *, leave: Callable[[], object]) -> None:
        self._manager = manager
        self._name = name
        self._memory = memory
        self._leave = leave
        self._held: list[Permit] = []
        self._asked: Permit | None = None
        self._entering = asyncio.Lock()
        self._busy = 0
        self._used_at = 0.0
        self._closed = False
        self._looking: Periodic | None = None
        self._take_back = manager.control.on_level(enter=self._at_level)

    async def enter(self) -> None:
        """Wait until there is memory for the model; return at once if it has it.

        Raises:
            ConfigError: If it needs more than the engine shares out.
            RejectedError: If it was closed meanwhile.
        """
        if not self._held:
            with waits_outside(self._told):
                async with self._entering:
                    if not self._held:
                        await self._enter()
        self._used_at = asyncio.get_running_loop().time()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Keep the model while the block runs, once it is there."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            self._used_at = asyncio.get_running_loop().time()

    async def measured(self, memory: int) -> None:
        """Take in what the model takes, bytes, now that it is loaded; 0 if that is not known."""
        data = self._manager.data_manager
        more = memory - self._memory
        self._memory = max(self._memory, min(memory, data.capacity))
        if 0 < more <= data.free:
            permit = self._permit(more, deadline=_PATIENCE_S)
            # Not waited for where others have it: it is taken already, and the next time all of it is asked for.
            try:
                await permit.__aenter__()
            except TimeoutError:
                return
            self._held.append(permit)

    def go(self) -> None:
        """Have the model go: its worker ends, and its memory is given back."""
        self._leave()
        held, self._held = self._held, []
        for permit in held:
            permit.give_back()

    def close(self) -> None:
        """Have it go for good; who waits for it is refused."""
        self._closed = True
        self._take_back()
        if self._looking is not None:
            self._looking.cancel()
        self.go()

    async def _enter(self) -> None:
        require_room(self._name, self._memory, self._manager.data_manager.capacity)
        self._require_open()
        self._asked = permit = self._permit(self._memory)
        try:
            await permit.__aenter__()
        finally:
            self._asked = None
        self._held.append(permit)
        try:
            self._require_open()
        except RejectedError:
            self.go()
            raise
        if self._looking is None:
            self._looking = self._manager.control.every(SPARED_S / 2, self._relieve)

    def _permit(self, size: int, *, deadline: float | None = None) -> Permit:
        # Urgent calls may wait for it too. And what is held for so long must not count as what a task of
        # a low class does while urgent work is late: no other such task would start until it goes.
        return self._manager.orchestrator.permit(
            Resources(memory=size),
            priority=Priority.HIGH,
            name=f"{self._name}: memory",
            deadline=deadline,
            detached=True,
        )

    def _told(self) -> Handle[None] | None:
        return None if self._asked is None else self._asked.asked

    def _relieve(self) -> None:
        idle = asyncio.get_running_loop().time() - self._used_at
        if idle >= SPARED_S and self._manager.data_manager.lacking:
            self._give_way()

    def _at_level(self, level: str) -> None:
        if level == "critical":
            self._give_way()

    def _give_way(self) -> None:
        if self._held and not self._busy:
            self.go()

    def _require_open(self) -> None:
        if self._closed:
            message = f"the client of the {self._name} was closed and takes no more calls"
            raise RejectedError(message)


def _mebibytes(size: int) -> int:
    return -(-size >> 20)

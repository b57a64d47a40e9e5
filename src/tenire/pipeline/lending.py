"""Room of one batch that its parts use one after the other.

A container that is read in the order of the source holds up what comes behind it, and
that has its room already: if its slices asked for room of their own, both would wait for
ever. So they go by with the room that the container's batch has.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenire.pipeline.group_queue import GroupQueue

__all__ = ["Lending"]

_AT_A_TIME = 2
"""One that is read while the one before it is embedded."""


class Lending:
    """Lends the room of one batch.

    Args:
        groups: Where the parts are put; what is in their way is sent off.
        held: The room; it is given back with the last part.
    """

    def __init__(self, groups: GroupQueue, held: AsyncExitStack) -> None:
        self._groups = groups
        self._held = held
        self._free = asyncio.Semaphore(_AT_A_TIME)

    async def take(self) -> AsyncExitStack:
        """Wait until there is room for the next part; closing what is returned gives that back."""
        if self._free.locked():
            self._groups.send_off()
        await self._free.acquire()
        lent = AsyncExitStack()
        lent.callback(self._free.release)
        return lent

    async def take_last(self) -> AsyncExitStack:
        """Do the same for the last part, with which the room itself is given back."""
        lent = await self.take()
        lent.push_async_callback(self._held.aclose)
        return lent

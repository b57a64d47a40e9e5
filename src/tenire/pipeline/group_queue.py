"""When a group of documents is sent off to be committed, and what room is waited for.

1. A group that is full is sent off.
2. While somebody waits for room, the group that is being filled is sent off as it is, so
   that what it holds comes back, unless enough groups are on their way. Nothing waits for
   a group to become full.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tenire.core.stage_sizes import FIRST
from tenire.pipeline.chunks import bytes_held
from tenire.pipeline.groups import Group

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextlib import AsyncExitStack

    from tenire.pipeline.lister import Work
    from tenire.pipeline.room import Room
    from tenire.protocols import Document, Rejection, Unchanged, Unpacked

__all__ = ["FINISHERS", "GroupQueue"]

FINISHERS = 2
"""Groups on their way: one at the model, one behind it on its way into the store."""


class GroupQueue:
    """The group that is being filled, and those on their way to their commit.

    Args:
        room: The room that batches hold until their group is committed.
        full: Returns the passages that make a group full.
    """

    def __init__(self, room: Room, *, full: Callable[[], int] = lambda: FIRST.group) -> None:
        self._most = full
        self._room = room
        self._filling = Group()
        self._sent: asyncio.Queue[Group | None] = asyncio.Queue()
        self.under_way = 0

    async def take_room(self, batch: Sequence[Work]) -> AsyncExitStack:
        """Wait for a place in flight and for the bytes of a batch."""
        return await self.take_bytes(bytes_held(batch))

    async def take_bytes(self, size: int) -> AsyncExitStack:
        """Wait for a place in flight and for some bytes."""
        if self._room.is_short(size) and self.under_way < FINISHERS:
            self.send_off()  # rule 2
        return await self._room.take(size)

    def reject(self, rejections: Sequence[Rejection]) -> None:
        """Add what the source itself could not use."""
        self._filling.rejections += rejections
        if len(self._filling.rejections) >= self._most():
            self.send_off()

    def add(
        self,
        batch: Sequence[Work],
        results: Sequence[Document | Rejection | Unchanged | Unpacked],
        held: AsyncExitStack,
    ) -> None:
        """Add what came of a batch, and the room that it holds; ``results`` are in the order of ``batch``."""
        self._filling.add(batch, results, held)
        self._full()

    def put(self, results: Sequence[Document | Rejection], held: AsyncExitStack | None = None) -> None:
        """Add documents, or why they cannot be used, and the room that they hold."""
        self._filling.put(*results)
        if held is not None:
            self._filling.holds.append(held)
        self._full()

    def _full(self) -> None:
        if self._filling.passages >= self._most():
            self.send_off()
        else:
            self.make_way()

    def make_way(self) -> None:
        """Send off what there is if somebody waits for the room that it holds (rule 2)."""
        if self._room.wanted and self.under_way < FINISHERS:
            self.send_off()

    def send_off(self) -> None:
        """Send off the group that is being filled, if there is anything in it."""
        group, self._filling = self._filling, Group()
        if group.holds or group.documents or group.rejections:
            self.under_way += 1
            self._sent.put_nowait(group)

    def close(self) -> None:
        """Send off the rest; ``finish_each`` ends once everything is committed."""
        self.send_off()
        for _ in range(FINISHERS):
            self._sent.put_nowait(None)

    async def finish_each(self, finish: Callable[[Group], Awaitable[None]]) -> None:
        """Commit one group after the other, and give back their room; ``FINISHERS`` of these run side by side.

        Raises:
            Exception: What ``finish`` raised.
        """
        while (group := await self._sent.get()) is not None:
            await finish(group)
            for held in group.holds:
                await held.aclose()
            self.under_way -= 1
            self.make_way()

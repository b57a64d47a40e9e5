"""How many rows of a run are under way: as many as can be of use, and no more.

A row that waits for a slot is two coroutines and a permit, which have to be unwound if the
run is interrupted, and it is no sooner answered for having waited long. So a row begins when
one of those before it could be answered, and a few more: enough that a slot that gets free
finds the next row ready, however long it takes to list and to keep one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.concurrency.handle import Handle

__all__ = ["READY", "UnderWay"]

READY = 128
"""Rows under way beyond those that can be answered at the same time: two batches."""


class UnderWay:
    """The rows that are under way; used from one event loop.

    Args:
        slots: Tells how many rows can be answered at the same time, as far as is known now.
    """

    def __init__(self, slots: Callable[[], int]) -> None:
        self._slots = slots
        self._rows = 0
        self._turn = asyncio.Lock()
        self._room = asyncio.Event()

    async def begin(self, rows: int) -> None:
        """Wait until more rows are of use, and count these in: each until its task is told to ``ended``.

        Who comes first goes first.
        """
        async with self._turn:
            while not self._has_room():
                self._room.clear()
                await self._room.wait()
            self._rows += rows

    def ended(self, _: Handle[object]) -> None:
        """Take in that the task of a row has ended."""
        self._rows -= 1
        # Room may come at any other time too, but slots become more when calls end, and so rows do.
        if self._has_room():
            self._room.set()

    def _has_room(self) -> bool:
        return self._rows < self._slots() + READY

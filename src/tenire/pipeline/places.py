"""So many at a time, where that number may change while some are inside."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Places"]


class Places:
    """Places that are taken and given back; ``async with`` takes one for the block.

    A smaller number comes true as places are given back: nobody is turned out.

    Args:
        number: How many there are, at least 1.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._free = asyncio.Semaphore(number)
        self._to_drop = 0

    def locked(self) -> bool:
        """Return whether one more would have to wait."""
        return self._free.locked()

    def resize(self, number: int) -> None:
        """Have another number of places, at least 1."""
        more, self._number = number - self._number, number
        self._to_drop -= more
        for _ in range(-self._to_drop):
            self._free.release()
        self._to_drop = max(0, self._to_drop)

    async def acquire(self) -> None:
        """Wait for a place and take it."""
        await self._free.acquire()

    def release(self) -> None:
        """Give a place back."""
        if self._to_drop:
            self._to_drop -= 1
        else:
            self._free.release()

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

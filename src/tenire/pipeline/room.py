"""Room in flight: the place and the bytes that a batch holds until it is committed."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from tenire.pipeline.places import Places

if TYPE_CHECKING:
    from tenire.concurrency.data import DataManager

__all__ = ["Room"]


class Room:
    """The room of one run.

    Args:
        data: Lends the bytes.
        pipeline: Whose share they are charged to.
        places: Batches that may be in flight.

    """

    def __init__(self, data: DataManager, *, pipeline: str, places: int) -> None:
        self._data = data
        self._pipeline = pipeline
        self._places = Places(places)
        self._held: set[AsyncExitStack] = set()
        self._waiting = 0

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for room."""
        return self._waiting > 0

    def resize(self, places: int) -> None:
        """Let so many batches be in flight from now on."""
        self._places.resize(places)

    def is_short(self, size: int) -> bool:
        """Return whether ``size`` more bytes would have to be waited for."""
        return self._places.locked() or self._data.free < size

    async def take(self, size: int) -> AsyncExitStack:
        """Wait for a place and for ``size`` bytes; closing what is returned gives both back."""
        self._waiting += 1
        held = AsyncExitStack()
        try:
            await self._places.acquire()
            held.callback(self._places.release)
            if size:
                await held.enter_async_context(self._data.credit(size, pipeline=self._pipeline))
        except BaseException:
            await held.aclose()
            raise
        finally:
            self._waiting -= 1
        self._held.add(held)
        held.callback(self._held.discard, held)
        return held

    async def aclose(self) -> None:
        """Give back whatever is still held.

        For the end of a run that broke off: a task that is cancelled before its
        first step never runs, so it cannot give back what it was handed.
        """
        for held in list(self._held):
            await held.aclose()

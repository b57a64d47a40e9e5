"""Lets tasks that run side by side go on in the order in which they began."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

__all__ = ["InOrder", "Turn"]

Turn: TypeAlias = "Callable[[], AbstractAsyncContextManager[None]]"
"""What is entered when it is its turn."""


class InOrder:
    """An order of turns.

    >>> order = InOrder()
    >>> first, second = order.place(), order.place()  # in this order, whoever enters first

    A place that was taken has to be entered, or those behind it wait for ever; leaving
    it by an exception lets them go on.
    """

    def __init__(self) -> None:
        self._last: asyncio.Event | None = None

    def place(self) -> Turn:
        """Take the next place; what it returns is entered when it is this one's turn."""
        before, own = self._last, asyncio.Event()
        self._last = own

        @asynccontextmanager
        async def turn() -> AsyncIterator[None]:
            try:
                if before is not None:
                    await before.wait()
                yield
            finally:
                own.set()

        return turn

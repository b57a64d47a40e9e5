"""Files that are opened and closed on a thread, and never left open."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

from tenire.concurrency.unbroken import unbroken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

__all__ = ["opened"]


class _Closable(Protocol):
    def close(self) -> object: ...


T = TypeVar("T", bound=_Closable)


@asynccontextmanager
async def opened(opening: Callable[[], T]) -> AsyncIterator[T]:
    """Open something on a thread for a block, and close it there.

    Args:
        opening: Returns it, open.
    """
    found: list[T] = []
    try:
        await unbroken(asyncio.to_thread(lambda: found.append(opening())))
        yield found[0]
    finally:
        for one in found:
            await unbroken(asyncio.to_thread(one.close))

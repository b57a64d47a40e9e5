"""Files that are opened and closed on a thread, and never left open."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

from tenire.concurrency.blocking import acquire_blocking, run_blocking
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
    found = await acquire_blocking(opening, lambda one: one.close())
    try:
        yield found
    finally:
        await unbroken(run_blocking(found.close))

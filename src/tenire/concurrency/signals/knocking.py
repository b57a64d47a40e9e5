"""Waking a coroutine from any thread."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["knock", "running_loop"]

running_loop = asyncio._get_running_loop  # noqa: SLF001 - public by its documentation; ``None`` instead of an error


def knock(loop: asyncio.AbstractEventLoop) -> tuple[asyncio.Future[None], Callable[[], object]]:
    """Return a future, and a function that has it done, which may be called from any thread."""
    future: asyncio.Future[None] = loop.create_future()

    def settle() -> None:
        if not future.done():
            future.set_result(None)

    def arrive() -> None:
        if running_loop() is loop:
            settle()  # without the system call that wakes a loop from outside
        else:
            loop.call_soon_threadsafe(settle)

    return future, arrive

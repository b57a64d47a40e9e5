"""How a run waits for its tasks, and which of several errors it tells."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tenire.concurrency.handle import Handle

__all__ = ["LAST_WORD_S", "all_or_first_failure", "ended", "first", "kept", "seen"]

LAST_WORD_S = 0.3
"""Seconds that a commit gets to end, and so to count, when its run is cancelled."""

T = TypeVar("T")


async def all_or_first_failure(handles: Sequence[Handle[Any]]) -> None:
    """Wait until all tasks have ended well, or one of them has not.

    Raises:
        BaseException: What that one raised, at once.
    """
    left = len(handles)
    last: asyncio.Future[Handle[Any]] = asyncio.get_running_loop().create_future()

    def count(handle: Handle[Any]) -> None:
        nonlocal left
        left -= 1
        failed = handle.cancelled() or handle.exception() is not None
        if not last.done() and (failed or not left):
            last.set_result(handle)

    for handle in handles:
        handle.add_done_callback(count)
    await (await last)


async def ended(handle: Handle[Any], *, last_word: float) -> asyncio.CancelledError | None:
    """Wait until a task has ended, a little longer than one is told to.

    Args:
        handle: The task.
        last_word: Seconds that the task gets to end when the waiting one is
            cancelled; then it is cancelled too.

    Returns:
        The cancellation that came meanwhile, to be raised again, or ``None``.
    """
    over = asyncio.Event()
    handle.add_done_callback(lambda _: over.set())
    try:
        await over.wait()
    except asyncio.CancelledError as cancelled:
        try:
            async with asyncio.timeout(last_word):
                await over.wait()
        except TimeoutError:
            handle.cancel()
        return cancelled
    return None


async def kept(commit: Handle[T], count: Callable[[T], object]) -> T:
    """Wait for a commit and count it, also if the one who waits is cancelled meanwhile.

    Args:
        commit: The task that commits.
        count: Is given what it did.

    Returns:
        What it did.

    Raises:
        BaseException: What it raised.
        asyncio.CancelledError: If the one who waits was cancelled.
    """
    cancelled = await ended(commit, last_word=LAST_WORD_S)
    done = await commit
    count(done)
    if cancelled is not None:
        raise cancelled
    return done


def first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of a group that is no group itself."""
    error = group.exceptions[0]
    return first(error) if isinstance(error, BaseExceptionGroup) else error


def seen(handle: Handle[Any]) -> None:
    """Look at the outcome of a head start: what fails there fails again where it is needed, and is told there."""
    if not handle.cancelled():
        handle.exception()

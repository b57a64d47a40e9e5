"""What has ended is freed at once: nothing waits for the garbage collector."""

from __future__ import annotations

import asyncio
import gc
import traceback
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.concurrency.engines import engine, eventually

from tenire import ConcurrencyManager, Resources, Retry
from tenire.concurrency.handle import Handle

Submit = Callable[[ConcurrencyManager], Handle[Any]]


class Blob:
    """Stands for what a task keeps in its frame."""


async def fails_at_once() -> None:
    blob = Blob()
    raise ValueError(type(blob).__name__)


async def fails_later() -> None:
    blob = Blob()
    await asyncio.sleep(0)
    raise ValueError(type(blob).__name__)


def fails_in_a_thread() -> None:
    blob = Blob()
    raise ValueError(type(blob).__name__)


async def waits_too_short(manager: ConcurrencyManager) -> None:
    async with manager.orchestrator.permit(Resources(cpu=1)):
        other = asyncio.create_task(_asks(manager))
        await asyncio.wait([other])
    await other


async def _asks(manager: ConcurrencyManager) -> None:
    async with manager.orchestrator.permit(Resources(memory=1 << 20, cpu=2), deadline=0.0, detached=True):
        pass


async def awaits(manager: ConcurrencyManager, fn: Callable[[], Awaitable[None]]) -> None:
    await manager.submit(fn)


AGAIN = Retry(attempts=2, backoff=0.0)
MUCH_LATER = Retry(attempts=2, backoff=1e9, max_delay=1e9)


@pytest.mark.parametrize(
    "submit",
    [
        lambda manager: manager.submit(fails_at_once),
        lambda manager: manager.submit(fails_later),
        lambda manager: manager.submit(fails_in_a_thread),
        lambda manager: manager.submit(fails_later, retry=AGAIN),
        lambda manager: manager.submit(fails_later, after=[manager.submit(fails_at_once)]),
        lambda manager: manager.submit(awaits, manager, fails_at_once),
        lambda manager: manager.submit(awaits, manager, fails_later),
        lambda manager: manager.submit(waits_too_short, manager),
        lambda manager: manager.submit(fails_later, retry=MUCH_LATER, deadline=0.02),
        lambda manager: manager.submit(fails_in_a_thread, "too much"),
    ],
    ids=[
        "first step",
        "later",
        "thread",
        "retried",
        "dependent",
        "inner in its first step",
        "inner later",
        "permit",
        "deadline between tries",
        "wrong argument",
    ],
)
def test_a_task_that_fails_leaves_no_circle_of_references(submit: Submit) -> None:
    assert engine(lambda manager: _garbage(manager, submit)) == []


def test_a_task_that_is_cancelled_between_two_tries_leaves_no_circle_of_references() -> None:
    async def cancelled(manager: ConcurrencyManager) -> list[str]:
        def submit(manager: ConcurrencyManager) -> Handle[Any]:
            handle = manager.submit(fails_at_once, retry=MUCH_LATER)
            manager.loops.loop.call_later(0.01, handle.cancel)
            return handle

        return await _garbage(manager, submit)

    assert engine(cancelled) == []


@pytest.mark.parametrize("on", ["loop", "thread"])
def test_a_handle_that_is_kept_keeps_nothing_but_the_outcome(on: str) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        blob = Blob()
        seen = weakref.ref(blob)

        def look(it: Blob) -> str:
            return type(it).__name__

        handle = manager.submit(look, blob, on=on)
        cancelled = manager.submit(look, blob, on=on)
        cancelled.cancel()
        del blob
        assert await handle == "Blob"
        for _ in range(3):
            await asyncio.sleep(0)
        if on == "thread":  # its thread drops what it was called with only after it has reported
            await eventually(lambda: seen() is None)
        assert seen() is None
        assert (handle.result(), cancelled.cancelled()) == ("Blob", True)

    engine(scenario)


def test_a_failure_that_many_wait_for_keeps_its_own_traceback() -> None:
    async def scenario(manager: ConcurrencyManager) -> list[int]:
        handle = manager.submit(fails_later)
        depths = []
        for _ in range(3):
            try:
                await handle
            except ValueError as error:
                depths.append(len(traceback.extract_tb(error.__traceback__)))
        return depths

    first, *more = engine(scenario)
    assert more == [first, first]


async def _garbage(manager: ConcurrencyManager, submit: Submit) -> list[str]:
    """Return the types of what only the garbage collector frees of a task."""
    await _ended(submit(manager))  # what is made once for all, such as a thread
    gc.collect()
    gc.disable()
    try:
        await _ended(submit(manager))
        for _ in range(5):
            await asyncio.sleep(0)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        return [type(it).__name__ for it in gc.garbage if isinstance(it, (Handle, BaseException, Blob, asyncio.Task))]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


async def _ended(handle: Handle[Any]) -> None:
    """Wait for the end without raising its exception, whose traceback would then hold this frame."""
    ended = asyncio.Event()

    def seen(handle: Handle[Any]) -> None:  # or it would be kept, to be logged at the end
        ended.set()
        if not handle.cancelled():
            handle.exception()

    handle.add_done_callback(seen)
    del handle
    await ended.wait()

"""Waiting for another engine to listen: real files, and steps that take no time."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tenire.concurrency import blocking
from tenire.concurrency.channel import Lookout
from tenire.concurrency.channel import lookout as module
from tenire.concurrency.channel.endpoint import listen

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

_LONG_S = 60.0


def run(scenario: Callable[[], Awaitable[Any]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(_LONG_S / 2):
            await scenario()

    asyncio.run(main())


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Counts looks; a step takes a thousandth of a second."""
    counted = threading.Semaphore(0)
    look = Lookout._identity

    def identity(lookout: Lookout) -> object:
        found = look(lookout)
        counted.release()
        return found

    monkeypatch.setattr(Lookout, "_identity", identity)
    monkeypatch.setattr(module, "STEP_S", 0.001)
    return counted


async def waiting(lookout: Lookout, looked: threading.Semaphore) -> asyncio.Task[None]:
    """Begin to wait, and return once it has looked in vain."""
    await lookout.wait(0.0)  # it may have seen the one before leave, and not yet the next one come
    task = asyncio.get_running_loop().create_task(lookout.wait(_LONG_S))
    for _ in range(2):
        await asyncio.to_thread(looked.acquire)
    assert not task.done()
    return task


def test_a_wait_ends_when_somebody_comes_to_listen_and_when_he_leaves(
    tmp_path: Path, looked: threading.Semaphore
) -> None:
    async def scenario() -> None:
        lookout = Lookout(tmp_path)
        task = await waiting(lookout, looked)
        first = await asyncio.to_thread(listen, tmp_path)
        await task
        task = await waiting(lookout, looked)
        first.socket.close()  # as the system does for one that is killed: its files stay
        second = await asyncio.to_thread(listen, tmp_path)
        await task
        task = await waiting(lookout, looked)
        await asyncio.to_thread(second.close)
        await task

    run(scenario)


def test_who_came_between_two_waits_is_seen_by_the_second(tmp_path: Path, looked: threading.Semaphore) -> None:
    async def scenario() -> None:
        lookout = Lookout(tmp_path / "home")  # which is not there yet
        await lookout.wait(_LONG_S)
        await asyncio.to_thread((tmp_path / "home").mkdir)
        listener = await asyncio.to_thread(listen, tmp_path / "home")
        await lookout.wait(_LONG_S)
        await asyncio.to_thread(listener.close)

    run(scenario)


def test_a_wait_ends_in_time_and_not_before_it_has_looked(tmp_path: Path, looked: threading.Semaphore) -> None:
    async def scenario() -> None:
        lookout = Lookout(tmp_path)
        for _ in range(2):
            await lookout.wait(0.0)
            assert looked.acquire(blocking=False)
            assert not looked.acquire(blocking=False)

    run(scenario)


def test_a_wait_that_is_cancelled_is_over_at_once_and_its_thread_too(
    tmp_path: Path, looked: threading.Semaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        lookout = Lookout(tmp_path)
        await lookout.wait(_LONG_S)
        monkeypatch.setattr(module, "STEP_S", _LONG_S)
        task = asyncio.get_running_loop().create_task(lookout.wait(_LONG_S))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(scenario)


def test_who_waits_for_an_engine_takes_no_thread_from_those_who_need_one_for_a_moment(
    tmp_path: Path, looked: threading.Semaphore
) -> None:
    async def scenario() -> None:
        tasks = [await waiting(Lookout(tmp_path), looked) for _ in range(blocking.MOST)]
        assert await blocking.run_blocking(max, 3, 4) == 4
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    run(scenario)


def test_a_wait_that_is_cancelled_is_over_though_a_disk_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looking, answer = threading.Event(), threading.Event()

    def hang(_: Lookout) -> None:
        looking.set()
        answer.wait()

    monkeypatch.setattr(Lookout, "_identity", hang)
    monkeypatch.setattr(module, "STEP_S", 0.0)
    monkeypatch.setattr(blocking, "HASTE_S", 0.0)

    async def scenario() -> None:
        task = asyncio.get_running_loop().create_task(Lookout(tmp_path).wait(_LONG_S))
        await asyncio.to_thread(looking.wait)
        task.cancel()
        await asyncio.wait([task], timeout=_LONG_S / 4)
        over = task.cancelled()
        answer.set()
        assert over

    run(scenario)

"""Groups of tasks, entered by threads or fed by them, on a real loop."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from tenire import ConcurrencyManager, ConfigError, RejectedError


async def nap(seconds: float) -> None:
    await asyncio.sleep(seconds)


async def fail() -> None:
    raise ValueError("broken")


def words(group: BaseExceptionGroup[Any]) -> list[str]:
    return [str(error) for error in group.exceptions]


def test_a_thread_waits_for_its_group() -> None:
    with ConcurrencyManager.in_thread(cpu=1, memory=1) as manager:
        with manager.async_tasks.group() as group:
            handles = [group.submit(nap, 0.0), group.submit(threading.get_ident)]
        assert [handle.done() for handle in handles] == [True, True]
        with pytest.raises(ExceptionGroup) as caught, manager.async_tasks.group() as group:  # noqa: PT012 - the block is what is tested
            waiting = group.submit(nap, 1000)
            group.submit(fail)
        assert (words(caught.value), waiting.cancelled()) == (["broken"], True)
        with pytest.raises(ExceptionGroup) as caught, manager.async_tasks.group() as group:  # noqa: PT012 - the block is what is tested
            waiting = group.submit(nap, 1000)
            raise KeyError("mine")
        assert (words(caught.value), waiting.cancelled()) == (["'mine'"], True)
        with manager.async_tasks.group() as group:
            waiting = group.submit(nap, 1000)
            group.cancel()
        assert waiting.cancelled()


def test_on_the_wrong_loop_or_thread_the_right_way_is_named() -> None:
    with ConcurrencyManager.in_thread(cpu=1, memory=1) as manager:

        async def blocks() -> None:
            with manager.async_tasks.group():
                pass

        with pytest.raises(RuntimeError, match="use `async with`"):
            manager.submit(blocks).result(timeout=5)

        async def elsewhere() -> None:
            async with manager.async_tasks.group():
                pass

        with pytest.raises(ConfigError, match="another loop"):
            asyncio.run(elsewhere())


def test_threads_that_submit_while_the_block_is_left_are_taken_in_or_refused() -> None:
    refused: list[int] = []
    ran: list[int] = []

    with ConcurrencyManager.in_thread(cpu=1, memory=1) as manager:
        for _ in range(50):
            begin = threading.Barrier(2)

            def submit(group: Any = None, begin: threading.Barrier = begin) -> None:
                begin.wait()
                for number in range(20):
                    try:
                        group.submit(ran.append, number, on="loop")
                    except RejectedError:
                        refused.append(number)

            with manager.async_tasks.group() as group:
                thread = threading.Thread(target=submit, args=(group,))
                thread.start()
                begin.wait()
            assert group.unfinished() == [], "none outlives the block"
            thread.join()
    assert len(ran) + len(refused) == 50 * 20


def test_a_task_is_cancelled_before_the_loop_has_heard_of_it() -> None:
    with ConcurrencyManager.in_thread(cpu=1, memory=1) as manager:
        ran: list[int] = []

        def on_loop(handed: list[Any], began: threading.Event) -> None:
            began.set()
            while not handed:  # for a moment: what another thread submits meanwhile has to wait for a turn
                pass
            handed[0].cancel()

        for _ in range(20):
            handed: list[Any] = []
            began = threading.Event()
            manager.loops.post(on_loop, handed, began)
            began.wait(5)
            handed.append(manager.submit(ran.append, 1))
            with pytest.raises(asyncio.CancelledError):
                handed[0].result(timeout=5)
        assert ran == []
        snapshot = manager.snapshot()
        assert (snapshot.running, snapshot.queued) == (0, 0)

from __future__ import annotations

import asyncio
import threading

import pytest
from tests.concurrency.engines import engine, eventually

import tenire
from tenire import CancelToken, ConcurrencyManager


def test_a_function_on_a_thread_learns_that_its_task_was_cancelled() -> None:
    begun = threading.Event()
    told: list[bool] = []

    def work() -> None:
        token = tenire.cancel_token()
        told.append(token.cancelled)
        begun.set()
        told.append(token.wait(30))
        told.append(token.cancelled)
        token.check()
        told.append(False)

    async def scenario(manager: ConcurrencyManager) -> None:
        handle = manager.submit(work)
        await asyncio.to_thread(begun.wait, 10)
        handle.cancel()
        with pytest.raises(asyncio.CancelledError):
            await handle
        await eventually(lambda: not manager.thread_pool.statistics().abandoned)
        assert told == [False, True, True]

    engine(scenario)


def test_the_token_may_be_handed_to_another_thread() -> None:
    tokens: list[CancelToken] = []
    woken: list[bool] = []

    def helper() -> None:
        assert not tenire.cancel_token().cancelled  # this thread has no task
        woken.append(tokens[0].wait(30))

    def work() -> None:
        tokens.append(tenire.cancel_token())
        thread = threading.Thread(target=helper)
        thread.start()
        thread.join()

    async def scenario(manager: ConcurrencyManager) -> None:
        handle = manager.submit(work, timeout=0.5)  # by then it has begun
        with pytest.raises(TimeoutError):
            await handle
        await eventually(lambda: woken == [True])

    engine(scenario)


def test_a_task_that_is_not_cancelled_is_told_nothing() -> None:
    def work() -> tuple[bool, bool]:
        token = tenire.cancel_token()
        token.check()
        return token.wait(0.01), token.cancelled

    async def scenario(manager: ConcurrencyManager) -> None:
        assert await manager.submit(work) == (False, False)

    engine(scenario)


def test_the_end_of_the_engine_is_told_too() -> None:
    begun, ended = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        if tenire.cancel_token().wait(30):
            ended.set()

    async def scenario(manager: ConcurrencyManager) -> None:
        manager.submit(work)
        await eventually(begun.is_set)
        message = "enough"
        raise ValueError(message)

    with pytest.raises(ValueError, match="enough"):
        engine(scenario)
    assert ended.wait(10)


def test_outside_of_a_task_nothing_is_ever_cancelled() -> None:
    token = tenire.cancel_token()
    token.check()
    assert (token.cancelled, token.wait(0.001)) == (False, False)


def test_on_a_loop_where_it_would_block_it_says_what_to_do() -> None:
    async def work() -> None:
        with pytest.raises(RuntimeError, match=r"block the event loop; use: await asyncio\.sleep"):
            tenire.cancel_token().wait(0.001)

    async def scenario(manager: ConcurrencyManager) -> None:
        await manager.submit(work)

    engine(scenario)

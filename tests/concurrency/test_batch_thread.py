"""A thread that serves what waits at once."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tenire.concurrency.batch_thread import BatchThread
from tenire.errors import RejectedError


def test_what_comes_while_it_is_busy_goes_together() -> None:
    batches: list[list[int]] = []
    go = threading.Event()

    def serve(asked: list[int]) -> list[int]:
        batches.append(asked)
        if len(batches) == 1:
            go.wait(10)
        return [2 * number for number in asked]

    async def main() -> list[int]:
        thread = BatchThread(serve, name="doubling", most=5)
        first = thread.ask(0)
        while not batches:  # noqa: ASYNC110 - the thread tells nobody
            await asyncio.sleep(0)
        others = [thread.ask(number) for number in range(1, 8)]
        go.set()
        found = [await future for future in (first, *others)]
        await thread.aclose()
        return found

    assert asyncio.run(main()) == [0, 2, 4, 6, 8, 10, 12, 14]
    assert batches == [[0], [1, 2, 3, 4, 5], [6, 7]]


def test_an_error_is_the_answer_of_its_batch_only() -> None:
    def serve(asked: list[int]) -> list[float]:
        return [1 / number for number in asked]

    async def main() -> None:
        thread = BatchThread(serve, name="dividing", most=1)
        bad, good = thread.ask(0), thread.ask(2)
        with pytest.raises(ZeroDivisionError):
            await bad
        assert await good == 0.5
        await thread.aclose()

    asyncio.run(main())


def test_an_answer_that_is_an_error_is_raised_for_one_alone() -> None:
    def serve(asked: list[int]) -> list[int | Exception]:
        return [number or ValueError("nothing") for number in asked]

    async def main() -> None:
        thread = BatchThread(serve, name="checking")
        bad, good = thread.ask(0), thread.ask(2)
        with pytest.raises(ValueError, match="nothing"):
            await bad
        assert await good == 2
        await thread.aclose()

    asyncio.run(main())


def test_a_batch_may_wait_for_more_but_not_when_it_is_closed() -> None:
    batches: list[list[int]] = []

    def serve(asked: list[int]) -> list[int]:
        batches.append(asked)
        return asked

    async def main() -> None:
        thread = BatchThread(serve, name="gathering", gather=lambda: 3600.0)
        futures = [thread.ask(number) for number in range(3)]
        await asyncio.sleep(0.01)
        assert not batches
        async with asyncio.timeout(30):
            await thread.aclose()
        assert [future.result() for future in futures] == [0, 1, 2]

    asyncio.run(main())
    assert batches == [[0, 1, 2]]


def test_closing_finishes_what_was_asked_for_and_takes_no_more() -> None:
    async def main() -> None:
        thread = BatchThread(lambda asked: asked, name="echo", most=1)
        futures = [thread.ask(number) for number in range(100)]
        await thread.aclose()
        assert [future.result() for future in futures] == list(range(100))
        with pytest.raises(RejectedError, match="echo was closed"):
            thread.ask(1)
        await thread.aclose()

    asyncio.run(main())


def test_who_is_cancelled_disturbs_nobody() -> None:
    async def main() -> None:
        thread = BatchThread(lambda asked: asked, name="echo")
        gone, stays = thread.ask(1), thread.ask(2)
        gone.cancel()
        assert await stays == 2
        await thread.aclose()

    asyncio.run(main())


def test_a_loop_that_is_gone_ends_the_thread() -> None:
    threads = []

    async def main() -> None:
        thread = BatchThread(lambda asked: asked, name="echo")
        threads.append(thread)
        thread.ask(1)

    asyncio.run(main())
    threads[0]._queue.put(None)
    threads[0]._thread.join(10)
    assert not threads[0]._thread.is_alive()

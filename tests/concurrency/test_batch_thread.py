"""A thread that serves what waits at once."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tenire.concurrency.batch_thread import BatchThread
from tenire.concurrency.reporting_thread import ReportingThread
from tenire.errors import InternalError, RejectedError, StoreError


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


@pytest.mark.blocking_allowed("the loop waits for the thread, so that it ends at the worst moment")
def test_a_thread_that_ends_at_once_when_it_is_told_to_has_not_died(monkeypatch: pytest.MonkeyPatch) -> None:
    class Quick:
        """A queue whose reader is always faster than who tells it to end."""

        def __init__(self, thread: BatchThread[int, int]) -> None:
            self.get, self.get_nowait = thread._queue.get, thread._queue.get_nowait
            self._put, self._reader = thread._queue.put, thread._thread

        def put(self, item: tuple[int, asyncio.Future[int]] | None) -> None:
            self._put(item)
            if item is None:
                assert self._reader is not None
                self._reader.join(30)
                assert not self._reader.is_alive()

    async def main() -> None:
        thread = BatchThread[int, int](lambda asked: asked, name="echo")
        monkeypatch.setattr(thread, "_queue", Quick(thread))
        assert await thread.ask(1) == 1
        await thread.aclose()
        assert thread.deaths == 0

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


class Mortal:
    """Doubles numbers, and dies of a negative one. It tells when it has one, and waits to be let go."""

    def __init__(self) -> None:
        self.busy, self.go = threading.Event(), threading.Event()

    def serve(self, asked: list[int]) -> list[int]:
        if min(asked) < 0:
            self.busy.set()
            self.go.wait(30)
            raise SystemExit("killed")
        return [2 * number for number in asked]


def test_a_thread_that_dies_fails_all_who_wait_with_the_reason_and_the_next_gets_a_new_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        mortal = Mortal()
        thread = BatchThread(mortal.serve, name="doubling", most=1, failure=StoreError)
        async with asyncio.timeout(30):
            for deaths in (1, 2):
                waiting = [thread.ask(-1), thread.ask(1)]
                mortal.busy.wait(30)
                waiting.append(thread.ask(2))
                mortal.go.set()
                for future in waiting:
                    with pytest.raises(StoreError, match=r"'doubling' died of SystemExit\('killed'\)") as caught:
                        await future
                    assert isinstance(caught.value.__cause__, SystemExit)
                assert await thread.ask(3) == 6
                assert thread.deaths == deaths
            await thread.aclose()

    asyncio.run(main())
    assert caplog.text.count("the thread 'doubling' died") == 2


def test_a_thread_that_dies_while_it_waits_for_more_fails_those_it_had_taken() -> None:
    def gather() -> float:
        raise SystemExit("killed")

    async def main() -> None:
        thread = BatchThread(lambda asked: asked, name="echo", gather=gather)
        async with asyncio.timeout(30):
            with pytest.raises(RejectedError, match="died of"):
                await thread.ask(1)
            await thread.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("before", [True, False])
def test_one_whose_thread_has_died_can_be_closed(before: bool) -> None:
    async def main() -> None:
        mortal = Mortal()
        thread = BatchThread(mortal.serve, name="doubling", most=1)
        waiting = [thread.ask(-1), thread.ask(1)]
        async with asyncio.timeout(30):
            if before:
                mortal.go.set()
                await asyncio.wait(waiting)
            closing = asyncio.create_task(thread.aclose())
            await asyncio.sleep(0)
            mortal.go.set()
            await closing
        for future in waiting:
            with pytest.raises(RejectedError, match="died of"):
                future.result()
        with pytest.raises(RejectedError, match="was closed"):
            thread.ask(1)

    asyncio.run(main())


def test_a_thread_that_could_not_say_that_it_died_is_found_by_the_next_who_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        mortal = Mortal()
        mortal.go.set()
        thread = BatchThread(mortal.serve, name="doubling")
        monkeypatch.setattr(thread, "_tell", lambda *_: None)
        lost, first = thread.ask(-1), thread._thread
        assert first is not None
        first.join(30)
        monkeypatch.undo()
        async with asyncio.timeout(30):
            assert await thread.ask(3) == 6
            with pytest.raises(RejectedError, match="died of"):
                await lost
            await thread.aclose()

    asyncio.run(main())


def test_where_no_other_thread_can_start_whoever_asks_is_told_and_asks_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        mortal = Mortal()
        mortal.go.set()
        thread = BatchThread(mortal.serve, name="doubling")
        async with asyncio.timeout(30):
            with pytest.raises(RejectedError, match="died of"):
                await thread.ask(-1)
            with monkeypatch.context() as patch:
                patch.setattr(ReportingThread, "start", refuse)
                with pytest.raises(RejectedError, match="no other can start"):
                    await thread.ask(1)
            assert await thread.ask(1) == 2
            await thread.aclose()

    asyncio.run(main())


def test_too_few_answers_are_an_error_for_all() -> None:
    async def main() -> None:
        thread = BatchThread(lambda asked: asked[1:], name="miser")
        async with asyncio.timeout(30):
            with pytest.raises(InternalError, match="asked for 1 answers and gave 0"):
                await thread.ask(1)
            await thread.aclose()

    asyncio.run(main())

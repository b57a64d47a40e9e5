from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tenire.core.tasks import Priority, Retry
from tenire.errors import CallTimeoutError, ConfigError
from tenire.resilience import Guard, MemoryCache
from tenire.resilience.urgency import Urgency
from tenire.testing import cancel_sweep, run


class Slow:
    """Takes a second, and counts what became of its calls."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.begun = self.cancelled = 0

    async def __call__(self, value: str = "x") -> str:
        self.begun += 1
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return value


async def started(guard: Guard, slow: Slow, number: int, **options: Any) -> list[asyncio.Task[str]]:
    tasks = [asyncio.create_task(guard.call(slow, **options)) for _ in range(number)]
    await asyncio.sleep(0.5)
    return tasks


def test_equal_calls_at_the_same_time_are_made_once_and_others_are_not() -> None:
    slow = Slow()
    guard = Guard(share=True)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(guard.call(slow, name)) for name in "aabba"]
        assert [task.result() for task in tasks] == list("aabba")
        assert slow.begun == 2
        await guard.call(slow, "a")  # what has landed is over: nothing is kept without a cache
        assert slow.begun == 3

    run(main)


def test_the_others_get_the_result_although_the_first_one_was_cancelled() -> None:
    slow = Slow()

    async def main() -> None:
        tasks = await started(Guard(share=True), slow, 3)
        tasks[0].cancel()
        assert [await task for task in tasks[1:]] == ["x", "x"]
        assert tasks[0].cancelled()

    run(main)
    assert (slow.begun, slow.cancelled) == (1, 0)


def test_when_the_last_one_is_cancelled_the_call_is_and_has_ended_by_then() -> None:
    slow = Slow()
    guard = Guard(share=True)

    async def main() -> None:
        tasks = await started(guard, slow, 2)
        tasks[0].cancel()
        await asyncio.wait(tasks[:1])
        assert slow.cancelled == 0
        tasks[1].cancel()
        await asyncio.wait(tasks[1:])
        assert slow.cancelled == 1
        assert not len(guard._flights)
        assert await guard.call(slow) == "x"

    run(main)


def test_who_comes_while_a_call_is_being_cancelled_starts_a_new_one() -> None:
    calls = 0

    async def stubborn() -> int:
        nonlocal calls
        calls += 1
        number = calls
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            await asyncio.sleep(5)
            raise
        return number

    async def main() -> None:
        guard = Guard(share=True)
        first = asyncio.create_task(guard.call(stubborn))
        await asyncio.sleep(1)
        first.cancel()
        await asyncio.sleep(1)
        assert await guard.call(stubborn) == 2
        assert first.cancelled()

    run(main)


def test_an_error_reaches_all_and_none_is_lost_when_nobody_waits_any_more() -> None:
    slow = Slow(ConnectionError())

    async def main() -> None:
        tasks = await started(Guard(share=True), slow, 3)
        await asyncio.wait(tasks)
        assert {type(task.exception()) for task in tasks} == {ConnectionError}

    run(main)  # the virtual loop raises if an exception was not retrieved
    assert slow.begun == 1


def test_a_call_that_cancels_itself_is_cancelled_for_all() -> None:
    async def cancels_itself() -> None:
        await asyncio.sleep(1)
        raise asyncio.CancelledError

    async def main() -> None:
        guard = Guard(share=True)
        tasks = [asyncio.create_task(guard.call(cancels_itself)) for _ in range(2)]
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)

    run(main)


def test_everybody_has_a_deadline_of_their_own_and_the_call_that_of_the_most_patient() -> None:
    tries = 0

    async def fails_twice() -> str:
        nonlocal tries
        tries += 1
        await asyncio.sleep(4)
        if tries <= 2:
            raise ConnectionError
        return "at last"

    async def main() -> None:
        guard = Guard(share=True, retry=Retry(attempts=5, backoff=0.0))
        hasty = asyncio.create_task(guard.call(fails_twice, deadline=5))
        patient = asyncio.create_task(guard.call(fails_twice, deadline=60))
        with pytest.raises(CallTimeoutError):
            await hasty
        assert asyncio.get_running_loop().time() == 5
        assert await patient == "at last"

    run(main)
    assert tries == 3


def test_a_call_is_as_urgent_as_the_most_urgent_of_its_callers() -> None:
    told: list[Priority] = []

    async def main() -> None:
        guard, slow = Guard(share=True), Slow()
        first = Urgency(Priority.LOW)
        first.follow(told.append)
        async with asyncio.TaskGroup() as group:
            for urgency in (first, Urgency(Priority.IDLE), None, Urgency(Priority.HIGH), Urgency(Priority.NORMAL)):
                group.create_task(guard.call(slow, urgency=urgency))
        first.leave(told.append)
        first.rise(Priority.CRITICAL)  # nothing follows any more
        assert slow.begun == 1

    run(main)
    assert told == [Priority.HIGH]


def test_a_second_cancellation_reaches_a_call_that_ignored_the_first() -> None:
    heard = 0

    async def hard_of_hearing() -> None:
        nonlocal heard
        for _ in range(2):
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                heard += 1

    async def main() -> None:
        task = asyncio.create_task(Guard(share=True).call(hard_of_hearing))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.sleep(1)
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert asyncio.get_running_loop().time() == 2

    run(main)
    assert heard == 2


def test_a_memory_cache_keeps_what_was_used_last_and_for_so_long() -> None:
    async def main() -> None:
        cache = MemoryCache(2, ttl=10)
        slow = Slow()
        guard = Guard(cache=cache)
        for name in "ab":
            await guard.call(slow, name)  # at 1 and at 2
        await guard.call(slow, "a")
        await guard.call(slow, "c")  # b was used least recently
        assert slow.begun == 3
        await guard.call(slow, "a")
        assert slow.begun == 3
        await asyncio.sleep(8.5)  # 11.5: a is too old, c is not
        await guard.call(slow, "c")
        assert slow.begun == 3
        await guard.call(slow, "a")
        assert slow.begun == 4
        assert len(cache) == 2
        cache.clear()
        assert len(cache) == 0

    run(main)


def test_none_is_a_result_like_any_other() -> None:
    calls = 0

    async def nothing() -> None:
        nonlocal calls
        calls += 1

    async def main() -> None:
        guard = Guard(cache=MemoryCache())
        for _ in range(2):
            await guard.call(nothing)

    run(main)
    assert calls == 1


@pytest.mark.parametrize("options", [{"most": 0}, {"most": True}, {"ttl": 0}, {"ttl": -1.0}])
def test_an_impossible_cache_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        MemoryCache(**options)


def test_an_error_that_came_in_the_moment_of_cancellation_is_not_left_behind() -> None:
    guard: Guard

    async def scenario() -> None:
        nonlocal guard
        guard = Guard(share=True)
        with pytest.raises(ConnectionError):
            await guard.call(Slow(ConnectionError()))

    def check() -> None:
        assert not len(guard._flights)

    assert cancel_sweep(scenario, check=check).awaits == 1

"""Places whose number changes while some are taken."""

from __future__ import annotations

import asyncio

import pytest

from tenire.pipeline.places import Places


async def inside(places: Places, peak: list[int], now: list[int]) -> None:
    async with places:
        now[0] += 1
        peak[0] = max(peak[0], now[0])
        await asyncio.sleep(0)
        now[0] -= 1


async def most_at_a_time(places: Places, tasks: int = 20) -> int:
    peak, now = [0], [0]
    async with asyncio.TaskGroup() as group:
        for _ in range(tasks):
            group.create_task(inside(places, peak, now))
    return peak[0]


@pytest.mark.parametrize("sizes", [[3], [3, 7], [7, 3], [5, 1, 8, 2, 2, 6]])
def test_so_many_are_inside_as_was_said_last(sizes: list[int]) -> None:
    async def run() -> int:
        places = Places(sizes[0])
        for size in sizes[1:]:
            places.resize(size)
        return await most_at_a_time(places)

    # Shrinking is done by places that come back, so the first few still count.
    assert asyncio.run(run()) <= max(sizes)

    async def run_twice() -> int:
        places = Places(sizes[0])
        for size in sizes[1:]:
            places.resize(size)
            await most_at_a_time(places)
        return await most_at_a_time(places)

    assert asyncio.run(run_twice()) == sizes[-1]


def test_nobody_is_turned_out_by_a_smaller_number() -> None:
    async def run() -> None:
        places = Places(2)
        await places.acquire()
        await places.acquire()
        places.resize(1)
        places.release()
        assert places.locked()
        places.release()
        assert not places.locked()

    asyncio.run(run())


def test_a_larger_number_lets_those_in_who_wait() -> None:
    async def run() -> None:
        places = Places(1)
        await places.acquire()
        waiting = asyncio.create_task(places.acquire())
        await asyncio.sleep(0)
        assert not waiting.done()
        places.resize(2)
        await waiting

    asyncio.run(run())


def test_a_place_is_given_back_by_who_is_cancelled_inside() -> None:
    async def run() -> None:
        places = Places(1)

        async def stay() -> None:
            async with places:
                await asyncio.Event().wait()

        task = asyncio.create_task(stay())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not places.locked()

    asyncio.run(run())

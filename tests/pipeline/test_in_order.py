"""Tasks that run side by side go on in the order of their places."""

from __future__ import annotations

import asyncio

import pytest

from tenire.pipeline.in_order import InOrder


def test_whoever_is_ready_first_waits_for_those_before_it() -> None:
    entered: list[int] = []

    async def main() -> None:
        order = InOrder()
        places = [order.place() for _ in range(4)]

        async def go(number: int) -> None:
            for _ in range(4 - number):  # the last one is ready first
                await asyncio.sleep(0)
            async with places[number]():
                entered.append(number)

        async with asyncio.TaskGroup() as tasks:
            for number in range(4):
                tasks.create_task(go(number))

    asyncio.run(main())
    assert entered == [0, 1, 2, 3]


def test_one_that_fails_or_is_cancelled_lets_the_others_go_on() -> None:
    async def main() -> None:
        order = InOrder()
        first, second, third = order.place(), order.place(), order.place()
        with pytest.raises(ValueError, match="broken"):
            async with first():
                raise ValueError("broken")
        waiting = asyncio.create_task(_enter(order.place()))
        async with second():
            pass
        async with asyncio.timeout(5), third():
            pass
        await waiting

    async def _enter(turn: object) -> None:
        async with turn():  # type: ignore[operator]
            pass

    asyncio.run(main())

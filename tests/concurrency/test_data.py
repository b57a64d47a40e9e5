from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tenire import ConcurrencyManager

if TYPE_CHECKING:
    from tenire.testing import SimLoop


def test_bytes_in_flight_never_pass_the_budget_and_a_giant_goes_alone(sim_loop: SimLoop) -> None:
    async def main() -> None:
        async with ConcurrencyManager(clock=sim_loop.clock, cpu=1, memory=100) as manager:
            data = manager.data_manager
            assert data.capacity == data.free == 100
            held: list[int] = []

            async def use(size: int) -> None:
                async with data.credit(size) as lent:
                    held.append(lent)
                    assert sum(held) <= 100
                    assert 0 <= data.free <= 100 - sum(held)
                    await asyncio.sleep(1)
                    held.remove(lent)

            async with asyncio.TaskGroup() as tasks:
                for size in (40, 40, 40, 1000, 10):
                    tasks.create_task(use(size))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert data.free == 100

    sim_loop.run_until_complete(main())

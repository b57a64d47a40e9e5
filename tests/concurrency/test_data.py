from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tenire import ConcurrencyManager
from tenire.concurrency.unbroken import unbroken
from tenire.errors import ConfigError, HomeBusyError
from tenire.storage.home import Home
from tenire.testing import cancel_sweep

if TYPE_CHECKING:
    from pathlib import Path

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


def test_all_of_an_engine_share_the_ledger_and_another_engine_is_refused(sim_loop: SimLoop, tmp_path: Path) -> None:
    home = tmp_path / "home"

    async def main() -> None:
        async with (
            ConcurrencyManager(clock=sim_loop.clock, cpu=1, memory=100, home=home) as one,
            ConcurrencyManager(clock=sim_loop.clock, cpu=1, memory=100, home=home) as two,
        ):
            async with one.data_manager.ledger() as first, one.data_manager.ledger() as second:
                assert first is second
                with pytest.raises(HomeBusyError, match="runs on the home"):
                    async with two.data_manager.ledger():
                        pass
            async with two.data_manager.ledger() as third:
                assert third is not first

    sim_loop.run_until_complete(main())


def test_two_that_ask_for_the_ledger_at_once_get_the_same(sim_loop: SimLoop, tmp_path: Path) -> None:
    async def main() -> None:
        async with ConcurrencyManager(clock=sim_loop.clock, cpu=1, memory=100, home=tmp_path) as manager:
            got: list[object] = []

            async def use() -> None:
                async with manager.data_manager.ledger() as ledger:
                    got.append(ledger)
                    await asyncio.sleep(1)

            async with asyncio.TaskGroup() as tasks:
                for _ in range(3):
                    tasks.create_task(use())
            assert got == [got[0]] * 3

    sim_loop.run_until_complete(main())


def test_an_engine_without_a_home_has_no_ledger(sim_loop: SimLoop) -> None:
    async def main() -> None:
        async with ConcurrencyManager(clock=sim_loop.clock, cpu=1, memory=100) as manager:
            with pytest.raises(ConfigError, match="no home"):
                async with manager.data_manager.ledger():
                    pass

    sim_loop.run_until_complete(main())


def test_whoever_is_cancelled_on_the_way_to_the_ledger_leaves_the_home_free(tmp_path: Path) -> None:
    home = tmp_path / "home"

    async def scenario() -> None:
        manager = ConcurrencyManager(clock=asyncio.get_running_loop().clock, cpu=1, memory=100)  # type: ignore[attr-defined]
        await manager.__aenter__()
        try:
            manager.data_manager.home = home  # alone: what else keeps something there has tests of its own
            async with manager.data_manager.ledger():
                await asyncio.sleep(1)
        finally:
            await unbroken(manager.shutdown())

    def check() -> None:
        assert Home(home).owner() is None

    assert cancel_sweep(scenario, check=lambda: asyncio.to_thread(check)).awaits >= 4

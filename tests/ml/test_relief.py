"""Models that do nothing give their memory to tasks that wait for it; on virtual time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tenire import ConcurrencyManager, Resources
from tenire.concurrency import manager as manager_module
from tenire.concurrency import submit
from tenire.concurrency.pools import PoolStatistics
from tenire.ml import ModelPool, serving
from tenire.ml import pool as pool_module
from tenire.ml.residence import SPARED_S

from .pool_models import Doubler
from .test_copies import Workers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenire.testing import SimLoop


@pytest.fixture(autouse=True)
def simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager_module, "ThreadPoolManager", Workers)
    for module in (submit, pool_module):
        monkeypatch.setattr(module, "check_sendable", lambda fn: None)
    monkeypatch.setattr(serving, "limit_threads", lambda threads: None)
    monkeypatch.setattr(serving, "_loaded", {})


class Measured(Workers):
    """Each worker takes so many bytes."""

    size = 0

    def __init__(self, loop: Any, **options: Any) -> None:
        super().__init__(loop, **options)
        self.started: set[str] = set()

    def start(self, handle: Any) -> None:
        self.started.add(handle.worker)
        super().start(handle)

    def statistics(self) -> PoolStatistics:
        return PoolStatistics(0, 0, {}, 0, memory=dict.fromkeys(self.started, self.size))


def with_models(
    loop: SimLoop, use: Callable[[ConcurrencyManager, ModelPool], Awaitable[None]], **options: dict[str, Any]
) -> None:
    """Have three models of 200 bytes each loaded, ``a`` first, in an engine of 1,000 bytes."""

    async def main() -> None:
        async with ConcurrencyManager(cpu=2, memory=1000, seed=0, clock=loop.clock) as engine:
            async with ModelPool(engine, memory=1000) as pool:
                for name in ("a", "b", "c"):
                    pool.add(name, Doubler, memory=200, most=1, **options.get(name, {}))
                    await pool.predict(name, 1)
                assert engine.data_manager.free == 400
                await use(engine, pool)
            assert engine.data_manager.free == 1000

    loop.run_until_complete(main())


def loaded(pool: ModelPool) -> set[str]:
    return {name for name, each in pool.statistics().items() if each.loaded}


async def _nothing() -> None:
    pass


def test_what_models_have_keeps_no_task_from_starting_while_urgent_work_is_late(sim_loop: SimLoop) -> None:
    async def use(engine: ConcurrencyManager, pool: ModelPool) -> None:
        bulk = [engine.submit(asyncio.sleep, 10.0, needs=Resources(cpu=2)) for _ in range(3)]
        await asyncio.sleep(5)
        await engine.submit(_nothing, needs=Resources(cpu=1), priority="critical")
        for task in bulk:
            await asyncio.wait_for(task, 60)

    with_models(sim_loop, use)


def test_a_task_that_lacks_bytes_gets_them_from_the_model_that_was_used_longest_ago(sim_loop: SimLoop) -> None:
    async def use(engine: ConcurrencyManager, pool: ModelPool) -> None:
        await asyncio.sleep(2 * SPARED_S)
        assert loaded(pool) == {"a", "b", "c"}, "nobody waits"
        await asyncio.wait_for(engine.submit(_nothing, needs=Resources(memory=500)), 60)
        assert loaded(pool) == {"b", "c"}
        assert (await pool.predict("a", 3))[0] == 6
        assert pool.statistics()["a"].loads == 2

    with_models(sim_loop, use)


def test_all_but_those_that_are_pinned_go_if_it_takes_that(sim_loop: SimLoop) -> None:
    async def use(engine: ConcurrencyManager, pool: ModelPool) -> None:
        await asyncio.wait_for(engine.submit(_nothing, needs=Resources(memory=800)), 60)
        assert loaded(pool) == {"b"}

    with_models(sim_loop, use, b={"pinned": True})


def test_a_model_at_work_stays(sim_loop: SimLoop) -> None:
    async def use(engine: ConcurrencyManager, pool: ModelPool) -> None:
        found = 0

        async def bulk() -> None:
            nonlocal found
            async for _, result in pool.map("c", range(100)):
                found += result[0]

        async with asyncio.TaskGroup() as group:
            group.create_task(bulk())
            await asyncio.wait_for(engine.submit(_nothing, needs=Resources(memory=800)), 60)
            assert loaded(pool) == {"c"}
        assert found == 9900
        assert pool.statistics()["c"].loads == 1

    with_models(sim_loop, use)


def test_all_that_do_nothing_go_while_the_machine_is_about_to_swap(sim_loop: SimLoop) -> None:
    async def use(engine: ConcurrencyManager, pool: ModelPool) -> None:
        for enter, _ in tuple(engine.control._hooks):
            if enter is not None:
                enter("high")
        assert loaded(pool) == {"a", "b", "c"}
        for enter, _ in tuple(engine.control._hooks):
            if enter is not None:
                enter("critical")
        assert loaded(pool) == set()
        assert (await pool.predict("b", 2))[0] == 4

    with_models(sim_loop, use)


@pytest.mark.parametrize(("size", "free"), [(450, 550), (250, 700), (5000, 700)])
def test_what_a_model_takes_more_than_was_thought_is_admitted_once_it_was_measured_and_is_free(
    sim_loop: SimLoop, monkeypatch: pytest.MonkeyPatch, size: int, free: int
) -> None:
    monkeypatch.setattr(manager_module, "ThreadPoolManager", Measured)
    monkeypatch.setattr(Measured, "size", size)

    async def main() -> None:
        async with ConcurrencyManager(cpu=2, memory=1000, seed=0, clock=sim_loop.clock) as engine:
            async with ModelPool(engine, memory=1000) as pool:
                pool.add("a", Doubler, memory=300)
                await pool.predict("a", 1)
                assert engine.data_manager.free == free
            assert engine.data_manager.free == 1000

    sim_loop.run_until_complete(main())


def test_a_model_that_takes_more_than_there_is_comes_back_when_it_is_asked(
    sim_loop: SimLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manager_module, "ThreadPoolManager", Measured)
    monkeypatch.setattr(Measured, "size", 5000)

    async def main() -> None:
        engine = ConcurrencyManager(cpu=2, memory=1000, seed=0, clock=sim_loop.clock)
        async with engine, ModelPool(engine, memory=1000) as pool:
            for name in ("a", "b"):
                pool.add(name, Doubler, memory=300)
            for name in ("a", "b", "a", "b"):
                assert (await asyncio.wait_for(pool.predict(name, 1), 60))[0] == 2
            assert [each.loads for each in pool.statistics().values()] == [2, 2]

    sim_loop.run_until_complete(main())


def test_a_task_that_waits_for_the_memory_of_a_model_says_so(sim_loop: SimLoop) -> None:
    over = asyncio.Event()

    async def hold() -> None:
        await over.wait()

    async def main() -> None:
        engine = ConcurrencyManager(cpu=2, memory=1000, seed=0, clock=sim_loop.clock)
        async with engine, ModelPool(engine, memory=1000) as pool:
            pool.add("a", Doubler, memory=600)
            engine.submit(hold, needs=Resources(memory=700))
            rows = [engine.submit(pool.predict, "a", number) for number in range(3)]
            await asyncio.sleep(1)
            for row in rows:
                told = row.explain()
                assert (told.state, told.gate) == ("running", "resource")
                assert "waits for the permit 'a: memory'" in told.reason
                assert "needs 600 bytes of memory, free 300 bytes of memory" in told.reason
            over.set()
            assert [(await row)[0] for row in rows] == [0, 2, 4]

    sim_loop.run_until_complete(main())

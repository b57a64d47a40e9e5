"""Whoever asks a pool of models is cancelled at each await: no memory, slot, batch or worker stays behind."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from tests.simulation.pools import SimPools

from tenire import ConcurrencyManager, RejectedError
from tenire.concurrency import manager as manager_module
from tenire.concurrency import submit
from tenire.core import replicas
from tenire.ml import ModelPool, serving
from tenire.ml import pool as pool_module
from tenire.testing import cancel_sweep

from .pool_models import Doubler

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenire.testing import SimLoop


class Workers(SimPools):
    """Knows which workers were ended."""

    def __init__(self, loop: Any, **options: Any) -> None:
        super().__init__(loop, **options)
        self.alive: set[str] = set()

    def start(self, handle: Any) -> None:
        self.alive.add(handle.worker)
        super().start(handle)

    def end_worker(self, name: str) -> None:
        self.alive.discard(name)


@pytest.fixture(autouse=True)
def simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager_module, "ThreadPoolManager", Workers)
    monkeypatch.setattr(submit, "check_sendable", lambda fn: None)
    monkeypatch.setattr(pool_module, "check_sendable", lambda fn: None)
    monkeypatch.setattr(serving, "limit_threads", lambda threads: None)
    monkeypatch.setattr(serving, "_loaded", {})


class Ground:
    """An engine that outlives the pool: what the pool leaves behind is seen there."""

    def __init__(self, use: Callable[[ModelPool], Awaitable[object]], memory: int) -> None:
        self._use = use
        self._memory = memory

    async def scenario(self) -> None:
        loop: Any = asyncio.get_running_loop()
        serving._loaded.clear()
        async with ConcurrencyManager(cpu=2, memory=1000, seed=0, clock=loop.clock) as engine:
            workers: Any = engine.thread_pool
            try:
                async with ModelPool(engine, memory=self._memory) as pool:
                    for name in ("a", "b"):
                        pool.add(name, Doubler, memory=300, most=2)
                    await self._use(pool)
            finally:
                admission = engine.orchestrator.scheduler.admission
                await engine.orchestrator.wait_idle()
                assert list(admission.free) == list(admission.capacity)
                assert not engine.orchestrator.permits
                assert not workers.alive
                assert not any(model.loaded for model in pool.statistics().values())

    def sweep(self) -> int:
        return cancel_sweep(self.scenario, check=lambda: None).runs


async def warm_up(pool: ModelPool) -> None:
    await pool.warm_up("a")
    await pool.warm_up("b")


async def predict(pool: ModelPool) -> None:
    async with asyncio.TaskGroup() as group:
        for name in ("a", "b", "a"):
            group.create_task(pool.predict(name, 1, deadline=1000.0))


async def ask_for_many(pool: ModelPool) -> None:
    assert len([found async for found in pool.map("a", range(5))]) == 5


async def ask_copies(pool: ModelPool) -> None:
    pool.add("c", Doubler, memory=100, most=1, replicas=2)
    assert len([found async for found in pool.map("c", range(6))]) == 6


def test_a_copy_that_is_being_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas, "LEAST_S", 0.0)
    monkeypatch.setattr(replicas.Replicas, "loaded_in", lambda self, seconds: None)
    assert Ground(ask_copies, 1000).sweep() >= 4


@pytest.mark.parametrize("memory", [1000, 500], ids=["room for both", "room for one"])
@pytest.mark.parametrize("use", [warm_up, predict, ask_for_many], ids=lambda use: use.__name__)
def test_models_that_are_loaded_and_asked(use: Any, memory: int) -> None:
    assert Ground(use, memory).sweep() >= 4


async def refused_when(pool: ModelPool, waiting: asyncio.Task[Any], kind: type[BaseException]) -> None:
    await asyncio.wait([waiting])
    with pytest.raises(kind):
        waiting.result()
    for ask in (pool.predict("a", 1, priority="high"), pool.warm_up("b"), anext(pool.map("a", [1]))):
        with pytest.raises(RejectedError, match="pool of models was closed"):
            await ask


@pytest.mark.parametrize("act", ["predict", "warm_up"])
def test_a_pool_that_is_left_by_an_error_leaves_nobody_waiting(act: str, sim_loop: SimLoop) -> None:
    async def left_by_an_error(pool: ModelPool) -> asyncio.Task[Any]:
        with contextlib.suppress(ZeroDivisionError):
            async with pool:
                for name in ("a", "b"):
                    pool.add(name, Doubler, memory=300)
                waiting = asyncio.create_task(pool.predict("a", 1) if act == "predict" else pool.warm_up("a"))
                await asyncio.sleep(1)
                assert not waiting.done()
                raise ZeroDivisionError
        return waiting

    async def main() -> None:
        async with ConcurrencyManager(cpu=2, memory=1000, seed=0, clock=sim_loop.clock) as engine:
            pool = ModelPool(engine, memory=1000)
            async with engine.data_manager.credit(900):  # so the model waits for its memory
                waiting = await left_by_an_error(pool)
            await refused_when(pool, waiting, asyncio.CancelledError if act == "predict" else RejectedError)
            await engine.orchestrator.wait_idle()
            admission = engine.orchestrator.scheduler.admission
            assert list(admission.free) == list(admission.capacity)
            assert not engine.thread_pool.alive  # type: ignore[attr-defined]

    sim_loop.run_until_complete(main())

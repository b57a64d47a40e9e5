"""Copies of a model come while there is work for them, and go when there is none; on virtual time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from tests.simulation.pools import SimPools

from tenire import ConcurrencyManager, ConfigError
from tenire.concurrency import manager as manager_module
from tenire.concurrency import submit
from tenire.core.replicas import IDLE_S
from tenire.ml import ModelPool, serving
from tenire.ml import pool as pool_module

from .pool_models import Doubler

if TYPE_CHECKING:
    from tenire.testing import SimLoop

BATCH_S = 0.1


class Workers(SimPools):
    """A batch takes a tenth of a second; with ``shared``, two at a time take four times as long."""

    shared = False
    broken = False

    def __init__(self, loop: Any, **options: Any) -> None:
        super().__init__(loop, **options)
        self.asked: set[str] = set()
        self.running = 0

    def extra_s(self, handle: Any) -> float:
        if not handle.name.endswith(": ask"):
            return 0.0
        self.asked.add(handle.worker)
        return BATCH_S * (self.running**2 if self.shared else 1)

    def start(self, handle: Any) -> None:
        if handle.name.endswith(": ask"):
            self.running += 1
            handle.add_done_callback(lambda _: self._less())
        super().start(handle)

    def _less(self) -> None:
        self.running -= 1

    def dies(self, handle: Any) -> bool:
        return self.broken and "(2)" in handle.name


@pytest.fixture(autouse=True)
def simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager_module, "ThreadPoolManager", Workers)
    monkeypatch.setattr(submit, "check_sendable", lambda fn: None)
    monkeypatch.setattr(pool_module, "check_sendable", lambda fn: None)
    monkeypatch.setattr(serving, "limit_threads", lambda threads: None)
    monkeypatch.setattr(serving, "_loaded", {})


class Seen:
    """What came of many items."""

    def __init__(self, seconds: float, after: Any, later: Any, asked: int) -> None:
        self.seconds, self.after, self.later, self.asked = seconds, after, later, asked


def ask_many(loop: SimLoop, number: int, *, memory: int = 1000, threads: int = 1, replicas: int = 3) -> Seen:
    async def main() -> Seen:
        engine = ConcurrencyManager(cpu=2, memory=1000, seed=0, clock=loop.clock)
        async with engine, ModelPool(engine, memory=memory) as pool:
            pool.add("doubler", Doubler, memory=300, most=4, threads=threads, replicas=replicas)
            began = loop.time()
            found = sorted([(place, result[0]) async for place, result in pool.map("doubler", range(number))])
            seconds = loop.time() - began
            assert found == [(place, 2 * place) for place in range(number)]
            after = pool.statistics()["doubler"]
            await asyncio.sleep(2 * IDLE_S)
            later = pool.statistics()["doubler"]
            admission = engine.orchestrator.scheduler.admission
            assert admission.capacity[1] - admission.free[1] == 300 * later.replicas
            assert pool.statistics().keys() == {"doubler"}
            workers: Any = engine.thread_pool
            return Seen(seconds, after, later, len(workers.asked))

    return loop.run_until_complete(main())


def test_a_copy_comes_while_there_is_much_to_do_brings_what_it_costs_and_goes_afterwards(sim_loop: SimLoop) -> None:
    alone = ask_many(sim_loop, 800, replicas=1).seconds
    seen = ask_many(sim_loop, 800)
    assert seen.seconds < 0.65 * alone
    assert (seen.after.replicas, seen.asked) == (2, 2), "no more than there are cores for"
    assert (seen.after.items, seen.after.loads) == (800, 2)
    assert (seen.later.replicas, seen.later.loaded) == (1, True)


def test_a_little_work_wants_no_copy(sim_loop: SimLoop) -> None:
    assert ask_many(sim_loop, 20).after.loads == 1


@pytest.mark.parametrize("limits", [{"memory": 500}, {"threads": 2}, {"replicas": 1}], ids=str)
def test_there_is_none_without_memory_or_cores_for_it_or_where_none_is_wanted(
    sim_loop: SimLoop, limits: dict[str, int]
) -> None:
    seen = ask_many(sim_loop, 400, **limits)
    assert (seen.after.replicas, seen.after.loads, seen.asked) == (1, 1, 1)


def test_one_that_brings_nothing_goes_and_does_not_come_back(
    sim_loop: SimLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Workers, "shared", True)
    seen = ask_many(sim_loop, 4000)
    assert (seen.after.replicas, seen.after.loads, seen.asked) == (1, 2, 2)


def test_one_that_cannot_be_loaded_costs_nothing(sim_loop: SimLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Workers, "broken", True)
    seen = ask_many(sim_loop, 400)
    assert (seen.after.replicas, seen.after.loads) == (1, 1)


def test_a_number_of_copies_is_positive(sim_loop: SimLoop) -> None:
    with pytest.raises(ConfigError, match="replicas must be a positive whole number, got 0"):
        ask_many(sim_loop, 1, replicas=0)

"""Guards whose tries are let in by an engine."""

from __future__ import annotations

import asyncio
import re
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tenire import ConcurrencyManager, ConfigError, Resources
from tenire.concurrency import outside
from tenire.core.breaker import CircuitBreaker
from tenire.core.hedging import ENOUGH, Hedging
from tenire.core.tasks import Retry
from tenire.resilience import Batcher, EngineCache, Guard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenire.testing import SimLoop

SLOT = Resources(other={"api": 1})


def simulate(loop: SimLoop, scenario: Callable[[ConcurrencyManager], Awaitable[Any]], *, slots: int = 2) -> Any:
    async def main() -> Any:
        async with ConcurrencyManager(cpu=2, memory=100, seed=0, clock=loop.clock) as manager:
            manager.orchestrator.register_resource("api", slots)
            outcome = await scenario(manager)
            assert manager.snapshot().resources["api"].held == 0
        assert not manager.orchestrator.permits
        return outcome

    return loop.run_until_complete(main())


class Server:
    def __init__(self, *failures: Exception, seconds: float = 1.0) -> None:
        self.failures = list(failures)
        self.seconds = [seconds]
        self.calls = self.inside = self.most = 0

    async def __call__(self) -> int:
        self.calls += 1
        number = self.calls
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await asyncio.sleep(self.seconds[0] if len(self.seconds) == 1 else self.seconds.pop(0))
            if self.failures:
                raise self.failures.pop(0)
            return number
        finally:
            self.inside -= 1


def guard_of(manager: ConcurrencyManager, **options: Any) -> Guard:
    return Guard(admission=lambda: manager.orchestrator.permit(SLOT, name="try"), **options)


def test_a_try_holds_its_slot_only_while_it_runs(sim_loop: SimLoop) -> None:
    server = Server(*[ConnectionError()] * 4)

    async def scenario(manager: ConcurrencyManager) -> None:
        guard = guard_of(manager, retry=Retry(attempts=6, backoff=50.0), budget=False)
        handles = [manager.submit(guard.call, server) for _ in range(6)]
        assert sorted([await handle for handle in handles]) == list(range(5, 11))

    simulate(sim_loop, scenario)
    assert server.most == 2


def test_an_equal_call_goes_on_although_the_task_that_began_it_was_cancelled(sim_loop: SimLoop) -> None:
    server = Server(seconds=5.0)

    async def scenario(manager: ConcurrencyManager) -> None:
        guard = guard_of(manager, share=True)
        blocker = manager.submit(guard_of(manager).call, Server(seconds=3.0), needs=SLOT)
        first, second = manager.submit(guard.call, server), manager.submit(guard.call, server)
        await asyncio.sleep(1)  # the flight waits for its slot
        first.cancel()
        await asyncio.sleep(4)
        assert await second == 1
        await blocker

    simulate(sim_loop, scenario)
    assert server.calls == 1


def test_a_copy_takes_a_slot_that_is_free_and_does_without_if_none_is(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        hedging = Hedging(quantile=0.5, budget=1.0)
        for _ in range(ENOUGH):
            hedging.end(1.0)
        guard = guard_of(manager, hedge=hedging, idempotent=True)
        server = Server()
        server.seconds = [10.0, 0.5, 1.0]
        assert await manager.submit(guard.call, server) == 2
        assert guard.statistics().copies == 1

        server = Server(seconds=10.0)
        blocker = manager.submit(asyncio.sleep, 100.0, needs=SLOT)
        await asyncio.sleep(0.1)
        began = sim_loop.time()
        assert await manager.submit(guard.call, server) == 1
        assert sim_loop.time() - began < 11
        assert guard.statistics().copies == 1
        blocker.cancel()
        await asyncio.sleep(1)

    simulate(sim_loop, scenario)


def test_when_a_circuit_opens_those_that_wait_give_the_slots_to_others(sim_loop: SimLoop) -> None:
    dead = Server(*[ConnectionError()] * 2, seconds=1.0)

    async def scenario(manager: ConcurrencyManager) -> None:
        guard = guard_of(manager, breaker=CircuitBreaker(minimum_calls=2, open_for=60.0))
        calls = [manager.submit(guard.call, dead) for _ in range(10)]
        await asyncio.sleep(5)
        assert guard.statistics().waiting == 8
        assert manager.snapshot().resources["api"].held == 0
        told = next(call for call in calls if not call.done()).explain()
        assert (told.state, told.gate) == ("running", "breaker")
        waits = "it runs on the loop, try 1, and waits behind the circuit of .*Server, which is open for another 5"
        assert re.match(waits, told.reason)
        began = sim_loop.time()
        await manager.submit(guard_of(manager).call, Server(seconds=2.0))
        assert sim_loop.time() - began < 3
        failed = 0
        for call in calls:
            try:
                await call
            except ConnectionError:
                failed += 1
        assert failed == 2
        assert not outside._waits

    simulate(sim_loop, scenario)
    assert dead.calls == 10


def test_a_batch_belongs_to_none_of_the_tasks_whose_items_it_holds(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        server = Server()

        async def embed(items: list[int]) -> list[int]:
            await guard.call(server)
            return items

        guard = guard_of(manager)
        batcher = Batcher(embed)
        # Each task holds bytes, which come before slots; a batch that asked in the name of
        # one of them would give its slot back when that task ends.
        handles = [manager.submit(batcher, number, needs=Resources(memory=10)) for number in range(10)]
        assert [await handle for handle in handles] == list(range(10))
        assert server.calls <= 2

    simulate(sim_loop, scenario)


def test_a_plain_guarded_function_runs_on_the_engine_s_threads() -> None:
    failures = [ConnectionError(), ConnectionError()]
    threads = set()

    @Guard(retry=Retry(attempts=3, backoff=0.0))
    def fetch() -> str:
        threads.add(threading.current_thread())
        if failures:
            raise failures.pop()
        return "answer"

    async def main() -> None:
        async with ConcurrencyManager(cpu=1, memory=1 << 20) as manager:
            assert await manager.submit(fetch) == "answer"

    asyncio.run(main())
    assert threading.main_thread() not in threads


def test_results_can_be_kept_in_a_cache_of_the_engine(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        cache = manager.data_manager.cache("replies", capacity=2000)
        server = Server()
        guard = guard_of(manager, cache=EngineCache(cache, size=lambda _: 1000))
        assert [await guard.call(server) for _ in range(3)] == [1, 1, 1]
        assert cache.statistics().entries == 1
        texts = Guard(cache=EngineCache(manager.data_manager.cache("texts")))
        assert await texts.call(nothing) is None is await texts.call(nothing)

    async def nothing() -> None:
        return None

    with pytest.raises(ConfigError, match="size"):  # nobody can tell how large None is
        simulate(sim_loop, scenario)

"""Cancel every public coroutine at each of its awaits: nothing may be left behind."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING, Any

import pytest

from tenire import ConcurrencyManager
from tenire.core.breaker import CircuitBreaker
from tenire.core.hedging import ENOUGH, Hedging
from tenire.core.tasks import Retry
from tenire.resilience import MISSING, Bulkhead, EngineCache, Guard, MemoryCache
from tenire.resilience.tasks import end
from tenire.testing import cancel_sweep, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Ground:
    """What a call stands on, and whether all of it came back."""

    def __init__(self) -> None:
        self.inside = self.admitted = self.calls = 0
        self.breaker = CircuitBreaker(minimum_calls=2, open_for=3.0, half_open_permits=1)
        self.bulkhead = Bulkhead(2)
        self.guard: Guard | None = None

    @contextlib.asynccontextmanager
    async def admission(self) -> AsyncIterator[None]:
        async with self.bulkhead():
            self.admitted += 1
            try:
                await asyncio.sleep(0.1)
                yield
            finally:
                self.admitted -= 1

    async def call(self) -> int:
        self.calls += 1
        number = self.calls
        self.inside += 1
        try:
            await asyncio.sleep(1)
            if number <= 2:
                raise ConnectionError
            return number
        finally:
            self.inside -= 1

    def check(self) -> None:
        assert self.guard is not None
        assert (self.inside, self.admitted, self.bulkhead.inflight, self.bulkhead.waiting) == (0, 0, 0, 0)
        assert self.guard.statistics().waiting == 0
        assert len(self.guard._flights) == 0
        self.breaker.check()
        assert self.breaker._out == 0


class SlowCache(MemoryCache):
    async def get(self, key: Any) -> Any:
        await asyncio.sleep(0.1)
        return await super().get(key)

    async def put(self, key: Any, value: Any) -> None:
        await asyncio.sleep(0.1)
        await super().put(key, value)


OPTIONS: dict[str, dict[str, Any]] = {
    "retry and breaker": {},
    "deadline and timeout": {"deadline": 50.0, "timeout": 20.0},
}


def guarded_ground(**options: Any) -> Ground:
    ground = Ground()
    ground.guard = Guard(
        retry=Retry(attempts=4, backoff=2.0),
        breaker=ground.breaker,
        admission=ground.admission,
        rng=random.Random(1),
        **options,
    )
    return ground


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_one_call_that_fails_waits_behind_its_circuit_and_succeeds(options: dict[str, Any]) -> None:
    ground: Ground

    async def scenario() -> None:
        nonlocal ground
        ground = guarded_ground(**options)
        assert ground.guard is not None
        assert await ground.guard.call(ground.call) == 3

    report = cancel_sweep(scenario, check=lambda: ground.check())
    assert report.awaits >= 8


@pytest.mark.parametrize("callers", [1, 2])
def test_a_call_that_runs_in_a_task_of_its_own_at_every_moment(callers: int) -> None:
    # The sweep sees the awaits of its own task only, so this one goes by time.
    ended = 0
    for moment in range(200):

        async def main(moment: int = moment) -> None:
            nonlocal ended
            ground = guarded_ground(cache=SlowCache(), deadline=50.0, timeout=20.0)
            assert ground.guard is not None
            tasks = [asyncio.create_task(ground.guard.call(ground.call)) for _ in range(callers)]
            await asyncio.sleep(moment * 0.05)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left
            ended += not tasks[0].cancelled()
            ground.check()

        run(main)
    assert 0 < ended < 200


def test_one_of_several_equal_calls_is_cancelled_and_the_others_are_not() -> None:
    ground: Ground
    others: list[asyncio.Task[int]] = []

    async def scenario() -> None:
        nonlocal ground, others
        ground = Ground()
        ground.guard = Guard(retry=Retry(attempts=4, backoff=2.0), cache=SlowCache(), rng=random.Random(1))
        cancelled = asyncio.current_task()
        others = [asyncio.create_task(ground.guard.call(ground.call)) for _ in range(2)]
        try:
            assert await ground.guard.call(ground.call) == 3
        finally:
            assert cancelled is not None
            pressed = cancelled.cancelling()
            while cancelled.cancelling():
                cancelled.uncancel()
            assert [await one for one in others] == [3, 3]
            for _ in range(pressed):
                cancelled.cancel()

    cancel_sweep(scenario, check=lambda: ground.check())


def test_a_hedged_call_with_both_copies_under_way() -> None:
    ground: Ground

    async def scenario() -> None:
        nonlocal ground
        ground = Ground()
        ground.calls = 2  # nothing fails
        hedging = Hedging(quantile=0.5, budget=1.0)
        for _ in range(ENOUGH):
            hedging.end(0.5)
        ground.guard = Guard(
            hedge=hedging, idempotent=True, breaker=ground.breaker, admission=ground.admission, timeout=30.0
        )
        assert await ground.guard.call(ground.call) == 3
        assert ground.guard.statistics().copies == 1

    cancel_sweep(scenario, check=lambda: ground.check())


def test_waiting_for_a_slot_behind_others() -> None:
    ground: Ground

    async def scenario() -> None:
        nonlocal ground
        ground = Ground()
        ground.calls = 2
        ground.guard = Guard(admission=ground.admission, breaker=ground.breaker)
        others = [asyncio.create_task(ground.guard.call(ground.call)) for _ in range(2)]
        try:
            await ground.guard.call(ground.call)
        finally:
            await end(others)

    cancel_sweep(scenario, check=lambda: ground.check())


def test_a_plain_fallback_that_is_awaited() -> None:
    ground: Ground

    async def scenario() -> None:
        nonlocal ground
        ground = Ground()

        async def instead(_: Exception) -> str:
            await asyncio.sleep(1)
            return "instead"

        ground.guard = Guard(fallback=instead)
        assert await ground.guard.call(ground.call) == "instead"

    assert cancel_sweep(scenario, check=lambda: ground.check()).awaits == 2


def test_the_memory_cache_never_waits() -> None:
    cache: MemoryCache

    async def scenario() -> None:
        nonlocal cache
        cache = MemoryCache()
        assert await cache.get("x") is MISSING
        await cache.put("x", 1)
        assert await cache.get("x") == 1

    assert cancel_sweep(scenario, check=lambda: None).awaits == 0


def test_a_call_whose_result_is_kept_by_an_engine() -> None:
    ground: Ground

    async def scenario() -> None:
        nonlocal ground
        ground = guarded_ground()
        loop: Any = asyncio.get_running_loop()
        async with ConcurrencyManager(cpu=1, memory=1000, seed=0, clock=loop.clock) as manager:
            cache = manager.data_manager.cache("replies", capacity=5000)
            kept = EngineCache(cache, size=lambda _: 10)
            ground.guard = Guard(retry=Retry(attempts=4, backoff=2.0), cache=kept, rng=random.Random(1))
            assert [await ground.guard.call(ground.call) for _ in range(2)] == [3, 3]
            await kept.put("another", 1)
            assert await kept.get("another") == 1

    cancel_sweep(scenario, check=lambda: ground.check())

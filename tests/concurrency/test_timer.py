from __future__ import annotations

import asyncio
import gc
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tenire import ConcurrencyManager, ConfigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenire.testing import SimLoop


def simulate(sim_loop: SimLoop, scenario: Callable[[ConcurrencyManager], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with ConcurrencyManager(clock=sim_loop.clock, cpu=1, memory=1) as manager:
            return await scenario(manager)

    return sim_loop.run_until_complete(main())


def test_calls_come_in_the_order_of_their_times_and_never_early(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        calls: list[tuple[str, float]] = []
        start = sim_loop.time()
        for name, delay in (("c", 3.0), ("a", 1.0), ("b", 2.0), ("a2", 1.0)):
            manager.timer.after(delay, lambda name=name: calls.append((name, sim_loop.time() - start)))
        manager.timer.at(start + 2.5, lambda: calls.append(("at", sim_loop.time() - start)))
        assert len(manager.timer) == 5
        await asyncio.sleep(10)
        assert [name for name, _ in calls] == ["a", "a2", "b", "at", "c"]
        for (_, came), due in zip(calls, (1, 1, 2, 2.5, 3), strict=True):
            assert due <= came < due + 0.01

    simulate(sim_loop, scenario)


def test_a_cancelled_call_never_comes(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        calls: list[str] = []
        timeout = manager.timer.after(1, lambda: calls.append("cancelled"))
        assert timeout.active
        assert timeout.cancel()
        assert not timeout.cancel()
        assert not timeout.active
        fired = manager.timer.after(1, lambda: calls.append("fired"))
        await asyncio.sleep(2)
        assert calls == ["fired"]
        assert not fired.active
        assert not fired.cancel()

    simulate(sim_loop, scenario)


def test_one_that_is_due_can_cancel_another_that_is_due_with_it(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        calls: list[str] = []
        manager.timer.at(1.0, lambda: (calls.append("first"), second.cancel()))
        second = manager.timer.at(1.0, lambda: calls.append("second"))
        await asyncio.sleep(2)
        assert calls == ["first"]

    simulate(sim_loop, scenario)


def test_a_periodic_call_does_not_drift(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        times: list[float] = []
        start = sim_loop.time()
        ticking = manager.timer.every(0.1, lambda: times.append(sim_loop.time() - start))
        await asyncio.sleep(100.05)
        ticking.cancel()
        assert len(times) == 1000
        assert times[-1] == pytest.approx(100.0, abs=1e-3)
        await asyncio.sleep(1)
        assert len(times) == 1000
        with pytest.raises(ConfigError, match="positive"):
            manager.timer.every(0, lambda: None)

    simulate(sim_loop, scenario)


@pytest.mark.parametrize(("missed", "calls_after_the_gap"), [("skip", 1), ("once", 2), ("burst", 10)])
def test_missed_ticks_follow_the_policy(sim_loop: SimLoop, missed: Any, calls_after_the_gap: int) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        calls: list[float] = []
        manager.timer.every(1.0, lambda: calls.append(sim_loop.time()), missed=missed)
        sim_loop.suspend(10.5)  # nothing could run for ten ticks
        await asyncio.sleep(0.2)
        assert len(calls) == calls_after_the_gap

    simulate(sim_loop, scenario)


def test_a_callback_that_fails_does_not_keep_the_others_from_being_called(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        calls: list[str] = []
        reported: list[Any] = []
        sim_loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))
        manager.timer.at(1.0, lambda: 1 / 0)
        manager.timer.at(1.0, lambda: calls.append("same time"))
        manager.timer.at(2.0, lambda: calls.append("later"))
        await asyncio.sleep(3)
        assert calls == ["same time", "later"]
        assert [type(error) for error in reported] == [ZeroDivisionError]

    simulate(sim_loop, scenario)


def test_a_timer_never_keeps_the_owner_of_its_callback_alive(sim_loop: SimLoop) -> None:
    class Owner:
        def tick(self) -> None:
            calls.append("tick")

    calls: list[str] = []

    async def scenario(manager: ConcurrencyManager) -> None:
        owner = Owner()
        manager.timer.every(1.0, owner.tick)
        await asyncio.sleep(1.5)
        assert calls == ["tick"]
        before = len(manager.timer)
        del owner
        gc.collect()
        assert len(manager.timer) == before - 1  # at once, not when it would have been due
        await asyncio.sleep(5)
        assert calls == ["tick"]

    simulate(sim_loop, scenario)


def test_any_thread_may_set_and_cancel() -> None:
    async def scenario() -> None:
        async with ConcurrencyManager(cpu=1, memory=1, adaptive=False) as manager:
            called = asyncio.Event()

            def from_thread() -> None:
                never = manager.timer.after(60.0, called.clear)
                assert never.cancel()
                assert not never.cancel()
                assert len(manager.timer) == before
                manager.timer.after(0.0, called.set)

            await manager.compactor.aclose()  # it has the timer tell it when there was nothing to do for a while
            before = len(manager.timer)
            await manager.submit(from_thread)
            async with asyncio.timeout(5):
                await called.wait()
            assert len(manager.timer) == before

    asyncio.run(scenario())


def test_periodic_jobs_of_an_engine_share_wake_ups_and_none_waits_too_long(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        runs: dict[int, list[float]] = {job: [sim_loop.time()] for job in range(8)}
        before = manager.timer.statistics()
        jobs = [
            manager.control.every(1.0, lambda job=job: runs[job].append(sim_loop.time()), longest=1.05) for job in runs
        ]
        await asyncio.sleep(200.0)
        for job in jobs:
            job.cancel()
        after = manager.timer.statistics()
        fired = after.fired - before.fired
        assert fired > 8 * 180
        assert after.wake_ups - before.wake_ups < fired / 3
        for times in runs.values():
            gaps = [later - earlier for earlier, later in pairwise(times)]
            assert max(gaps) <= 1.05 + 1e-6
            assert min(gaps) >= 0.8

    simulate(sim_loop, scenario)

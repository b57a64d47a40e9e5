"""Waiting for a time on the timer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tenire import ConfigError, RejectedError
from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency import UniversalTimer
from tenire.testing import cancel_sweep

if TYPE_CHECKING:
    from tenire.testing import SimLoop


def test_a_wait_is_over_at_its_time_and_not_a_moment_before(sim_loop: SimLoop) -> None:
    timer = UniversalTimer(loop=sim_loop, clock=sim_loop.clock, on_thread=lambda: True)
    came: list[tuple[float, float]] = []

    async def wait(when: float) -> None:
        await timer.wait_until(when)
        came.append((when, timer.now()))

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            for when in (0.3, 0.1 + 0.2, 1 / 3, 5.0, 0.0, -1.0):
                tasks.create_task(wait(when))

    sim_loop.run_until_complete(main())
    assert [when for when, _ in came] == [0.0, -1.0, 0.3, 0.1 + 0.2, 1 / 3, 5.0]
    assert all(max(0.0, when) <= at < max(0.0, when) + 0.01 for when, at in came)


def test_a_wait_that_is_cancelled_leaves_nothing_in_the_timer(sim_loop: SimLoop) -> None:
    timer = UniversalTimer(loop=sim_loop, clock=sim_loop.clock, on_thread=lambda: True)

    async def main() -> None:
        waiting = asyncio.create_task(timer.wait_until(60.0))
        ringing = asyncio.create_task(timer.wait_until(1.0))
        await asyncio.sleep(0.5)
        assert len(timer) == 2
        waiting.cancel()
        timer.after(0.5, lambda: ringing.cancel())  # in the very moment in which it rings
        await asyncio.wait([waiting, ringing])
        assert waiting.cancelled()

    sim_loop.run_until_complete(main())
    assert len(timer) == 0


def test_cancelled_at_any_moment_it_leaves_nothing() -> None:
    timers: list[UniversalTimer] = []

    async def scenario() -> None:
        loop: Any = asyncio.get_running_loop()
        timers[:] = [UniversalTimer(loop=loop, clock=loop.clock, on_thread=lambda: True)]
        await timers[0].wait_until(1.0)

    def check() -> None:
        assert len(timers[0]) == 0

    assert cancel_sweep(scenario, check=check).awaits >= 1


def test_an_impossible_time_and_a_closed_timer_are_refused_at_once(sim_loop: SimLoop) -> None:
    timer = UniversalTimer(loop=sim_loop, clock=sim_loop.clock, on_thread=lambda: True)

    async def main() -> None:
        with pytest.raises(ConfigError, match="finite number of seconds, got inf"):
            await timer.wait_until(float("inf"))
        timer.close()
        with pytest.raises(RejectedError, match="was closed"):
            await timer.wait_until(1.0)
        assert timer.now() == 0.0

    sim_loop.run_until_complete(main())


def test_who_waits_when_the_timer_is_closed_is_refused(sim_loop: SimLoop) -> None:
    timer = UniversalTimer(loop=sim_loop, clock=sim_loop.clock, on_thread=lambda: True)

    async def main() -> None:
        waiting, cancelled, over = [asyncio.create_task(timer.wait_until(when)) for when in (5.0, 5.0, 1.0)]
        await asyncio.sleep(2)
        cancelled.cancel()
        timer.close()
        await asyncio.wait([waiting, cancelled], timeout=10)
        with pytest.raises(RejectedError, match="was closed"):
            waiting.result()
        assert cancelled.cancelled()
        assert over.result() is None

    sim_loop.run_until_complete(main())


def test_a_program_without_an_engine_has_a_timer_of_its_own() -> None:
    async def main() -> None:
        timer = UniversalTimer.of_running_loop(SYSTEM_CLOCK)
        began = timer.now()
        await asyncio.to_thread(timer.after, 0.01, lambda: done.set())  # what another thread adds wakes the loop
        await done.wait()
        await timer.wait_until(began + 0.02)
        assert timer.now() >= began + 0.02
        timer.close()

    done = asyncio.Event()
    asyncio.run(main())

"""Clocks that are set, and machines that sleep."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tests.simulation.scenarios.stage import Stage, scenario

from tenire.errors import TaskTimeoutError

if TYPE_CHECKING:
    from tenire.concurrency.timer import Timeout


async def _timed_work(stage: Stage) -> None:
    """Submit work with deadlines that it makes easily, and expect that it does."""
    async with stage.engine(cpu=8, adaptive=True):
        for _ in range(20):
            stage.submit(stage.work, deadline=30.0)
            stage.submit(lambda: None, on="process", deadline=30.0)
            if stage.rng.random() < 0.3:
                stage.loop.clock.step_wall(stage.rng.choice((-3600.0, -5.0, 5.0, 86_400.0)))
            await stage.work(0, 0.5)
    assert all(handle.exception() is None for handle in stage.handles)


@scenario
async def the_wall_clock_is_set(stage: Stage) -> None:
    """An hour back or a day forward: no deadline is missed and nothing waits for an hour."""
    await _timed_work(stage)
    assert stage.loop.time() < 60


@scenario
async def the_lid_is_closed(stage: Stage) -> None:
    """After hours of sleep, what missed its deadline is told so, and the rest goes on where it was."""
    async with stage.engine(adaptive=True):
        for _ in range(15):
            stage.submit(stage.work, 1.0, 5.0, deadline=stage.rng.choice((None, None, 20.0, 10_000.0)))
        await stage.work(0, 5)
        woken = stage.loop.time() + 3600
        stage.loop.suspend(3600)
        late = stage.submit(stage.work)
        await late
    assert stage.loop.time() < woken + 600
    for handle in stage.handles:
        assert handle.exception() is None or isinstance(handle.exception(), TaskTimeoutError)
    assert late.exception() is None


@scenario
async def a_thousand_timers(stage: Stage) -> None:
    """Timers that are cancelled by each other, and a sleep in between: none is early, lost or called twice."""
    rng = stage.rng
    due: dict[int, float] = {}
    calls: dict[int, list[float]] = {}
    timeouts: dict[int, Timeout] = {}
    cancelled: set[int] = set()

    def ring(number: int) -> None:
        assert number not in cancelled
        calls.setdefault(number, []).append(stage.loop.time())
        if rng.random() < 0.3:
            other = rng.randrange(1000)
            if other in timeouts and timeouts[other].cancel():
                cancelled.add(other)

    async with stage.engine() as manager:
        ticks: list[float] = []
        ticking = manager.timer.every(7.0, lambda: ticks.append(stage.loop.time()), missed=rng.choice(("skip", "once")))
        for number in range(1000):
            delay = rng.uniform(0, 100)
            due[number] = stage.loop.time() + delay
            timeouts[number] = manager.timer.after(delay, partial(ring, number))
        await stage.work(0, 50)
        stage.loop.suspend(30)
        await stage.work(130, 150)
        ticking.cancel()
        passed = stage.loop.time()
        assert len(manager.timer) == 0
    for number, when in due.items():
        times = calls.get(number, [])
        assert len(times) == (number not in cancelled)
        assert all(at >= when - 1e-9 for at in times)
    assert passed / 7 - 6 <= len(ticks) <= passed / 7

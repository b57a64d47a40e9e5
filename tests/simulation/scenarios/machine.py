"""A machine under pressure, or one that cannot be looked at."""

from __future__ import annotations

import asyncio
import math

from tests.simulation.scenarios.stage import Stage, scenario

from tenire.concurrency.control_events import OverloadChanged, SlotsChanged
from tenire.core.admission import CPU, MEMORY
from tenire.core.tasks import CPU_UNIT, Resources
from tenire.observe.load_probe import LoadSample

QUIET = LoadSample({"foreign_cpu": 0.0, "memory_used": 0.1}, foreign=0.0, cores=2.0)


@scenario
async def memory_runs_short(stage: Stage) -> None:
    """While memory is critical nobody takes any beside somebody else; when it is back, everything goes on."""
    start = stage.rng.uniform(0, 10)
    end = start + stage.rng.uniform(10, 60)
    pressed = LoadSample({"memory_used": 1.0}, foreign=0.0, cores=2.0)
    stage.sample = lambda now: pressed if start <= now < end else QUIET
    seen_at = math.inf

    async def hold(amount: int) -> None:
        nonlocal seen_at
        scheduler = stage.manager.orchestrator.scheduler
        if scheduler.selection.limits.get(MEMORY) == 0:
            seen_at = min(seen_at, stage.loop.time())
            admission = scheduler.admission
            assert admission.capacity[MEMORY] - admission.free[MEMORY] == amount
        await stage.work(0, 3)

    async with stage.engine(adaptive=True):
        while stage.loop.time() < end + 5:
            amount = stage.rng.randint(1, 60)
            priority = stage.rng.choice(("critical", "normal"))
            stage.submit(hold, amount, needs=Resources(memory=amount), priority=priority)
            await stage.work(0, 2)
    assert start < seen_at < start + 12  # it does not look while it has nothing to do
    assert all(handle.exception() is None for handle in stage.handles)


@scenario
async def batch_work_waits_too_long(stage: Stage) -> None:
    """It is told which classes go last, by and by, and when that is over."""
    stage.sample = lambda now: QUIET
    told: list[OverloadChanged] = []
    async with stage.engine(cpu=1, adaptive=True) as manager:
        manager.signals.subscribe(OverloadChanged, told.append)
        for _ in range(100):
            priority = stage.rng.choice(("normal", "low"))
            stage.submit(stage.work, 0.1, 0.3, needs=Resources(cpu=1), priority=priority)
        await stage.submit(stage.work, 0.1, 0.3, needs=Resources(cpu=1), priority="idle")
        assert "so idle and low work goes last" in (manager.snapshot().overload or "")
        assert manager.control.level == "normal"
        await asyncio.sleep(60)
        assert manager.snapshot().overload is None
    assert [event.last for event in told] == [("idle",), ("idle", "low"), ("idle",), ()]


@scenario
async def another_program_computes(stage: Stage) -> None:
    """The engine steps back for it, and takes all slots again when it is gone."""
    begins = stage.rng.uniform(1, 5)
    ends = begins + stage.rng.uniform(20, 60)
    busy = LoadSample({"foreign_cpu": 0.5}, foreign=2.0, cores=4.0)
    stage.sample = lambda now: busy if begins <= now < ends else LoadSample({"foreign_cpu": 0.0}, 0.0, 4.0)
    changed = [0.0]
    async with stage.engine(cpu=4, adaptive=True) as manager:
        manager.signals.subscribe(SlotsChanged, lambda _: changed.append(stage.loop.time()))
        admission = manager.orchestrator.scheduler.admission
        while stage.loop.time() < ends:
            for _ in range(stage.rng.choice((2, 10))):
                stage.submit(lambda: None, on="process")
            await stage.work(0.1, 0.5)
            if begins + 3 < stage.loop.time() < ends:
                assert manager.control.slots < 4
            if stage.loop.time() > changed[-1] + 0.2:  # what ran before may have gone on until then
                assert admission.capacity[CPU] - admission.free[CPU] <= manager.control.slots * CPU_UNIT
        while stage.loop.time() < ends + 30:
            stage.submit(stage.work)
            await stage.work()
        assert manager.control.slots == 4
    assert all(handle.exception() is None for handle in stage.handles)


@scenario
async def pressure_flaps(stage: Stage) -> None:
    """A load that jumps with every look: levels come and go one by one, and all work is done."""
    rng = stage.rng
    stage.sample = lambda now: LoadSample(
        {"memory_used": rng.random(), "foreign_cpu": rng.random()}, 4 * rng.random(), 4.0
    )
    levels: list[str] = []

    async with stage.engine(cpu=4, adaptive=True) as manager:
        manager.control.on_level(enter=levels.append, leave=lambda level: _leave(levels, level))
        slots: list[float] = []
        manager.signals.subscribe(SlotsChanged, lambda event: slots.append(event.slots))
        for _ in range(100):
            priority = rng.choice(("critical", "normal", "idle"))
            stage.submit(stage.work, priority=priority, needs=Resources(cpu=rng.choice((0, 1, 4)), memory=1))
            await stage.work(0, 1)
        stage.sample = lambda now: LoadSample({"memory_used": 0.0, "foreign_cpu": 0.0}, 0.0, 4.0)
    assert all(0 < number <= 4 for number in slots)
    assert all(handle.exception() is None for handle in stage.handles)


def _leave(levels: list[str], level: str) -> None:
    assert levels.pop() == level, "levels are left in the reverse of the order in which they were entered"


@scenario
async def the_machine_cannot_be_seen(stage: Stage) -> None:
    """Looks that fail or show nothing change nothing."""
    stage.sample = lambda now: stage.rng.choice((None, LoadSample()))
    async with stage.engine(adaptive=True) as manager:
        for _ in range(50):
            stage.submit(stage.work)
            await stage.work()
            assert (manager.control.level, manager.control.slots) == ("normal", 2)
    assert all(handle.exception() is None for handle in stage.handles)

"""Components that fail, hang and flap, under a supervisor or while they start."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tests.simulation.scenarios.stage import Stage, scenario

from tenire.concurrency import BatchInitializationGroup, Supervisor
from tenire.concurrency.startup import Component
from tenire.concurrency.supervisor import Child
from tenire.errors import ComponentError

if TYPE_CHECKING:
    from tenire.concurrency.supervisor import Life


@scenario
async def components_flap(stage: Stage) -> None:
    """Each may fail, hang or end at any moment. Either all are up once they are well, or all have ended."""
    rng = stage.rng
    well_from = rng.uniform(0, 60)
    alive: dict[str, int] = {}

    def component(name: str) -> Any:
        async def run(life: Life) -> None:
            alive[name] = alive.get(name, 0) + 1
            assert alive[name] == 1, f"{name} runs twice"
            try:
                await asyncio.sleep(rng.uniform(0, 0.5))
                life.ready()
                while True:
                    await asyncio.sleep(1)
                    trouble = rng.random() if stage.loop.time() < well_from else 1.0
                    if trouble < 0.05:
                        raise OSError(name)
                    if trouble < 0.08:
                        await asyncio.sleep(1000)  # hangs
                    if trouble < 0.1:
                        return
                    life.beat()
            finally:
                alive[name] -= 1

        return run

    async with stage.engine() as manager:
        escalated: list[ComponentError] = []
        supervisor = Supervisor(
            [Child(name, component(name), silence=5.0, optional=rng.random() < 0.2) for name in "abcd"],
            timer=manager.timer,
            clock=stage.loop.clock,
            strategy=rng.choice(("one_for_one", "one_for_all", "rest_for_one")),
            rng=rng,
            on_escalation=escalated.append,
        )
        try:
            await supervisor.start()
            await stage.work(well_from + 100, well_from + 100)
        except ComponentError as error:
            escalated.append(error)
        states = {statistics.health for statistics in supervisor.statistics().values()}
        if escalated:
            assert states <= {"ended", "failed"}
        else:
            assert states <= {"healthy", "unsteady", "failed"}
        await supervisor.aclose()
        assert not any(alive.values())
        assert not supervisor.abandoned


@scenario
async def a_group_starts_badly(stage: Stage) -> None:
    """Starts fail, hang, and are broken off: what became ready is stopped once, in exact reverse order."""
    rng = stage.rng
    began: list[str] = []
    events: list[tuple[str, str]] = []

    def component(number: int) -> Component:
        name = f"c{number}"

        async def start() -> None:
            began.append(name)
            await stage.work(0, 2)
            if rng.random() < 0.15:
                raise OSError(name)
            if rng.random() < 0.05:
                await asyncio.sleep(1000)

        async def stop() -> None:
            await stage.work(0, 0.2)

        needs = tuple(f"c{other}" for other in range(number) if rng.random() < 0.2)
        attempts = rng.choice((1, 3))
        return Component(name, start, stop, needs, optional=rng.random() < 0.3, timeout=5.0, attempts=attempts)

    group = BatchInitializationGroup(
        [component(number) for number in range(12)],
        concurrency=rng.randint(1, 4),
        all_or_nothing=rng.random() < 0.5,
        on_progress=lambda progress: events.append((progress.step, progress.component)),
        rng=rng,
        clock=stage.loop.clock,
    )

    async def use() -> None:
        async with group:
            await stage.work(0, 3)

    using = asyncio.create_task(use(), name="use")
    if rng.random() < 0.4:
        await stage.work(0, 15)
        using.cancel()
    await asyncio.wait([using])
    if not using.cancelled():
        using.exception()
    ready = [name for step, name in events if step == "ready"]
    assert [name for step, name in events if step == "stopped"] == ready[::-1]
    assert not group.ready

"""Whoever waits for the engine is cancelled at each of its awaits: nothing may stay held."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from tests.simulation.pools import SimPools

from tenire import ConcurrencyManager
from tenire.concurrency import manager as manager_module
from tenire.concurrency import submit
from tenire.concurrency.termination import Termination
from tenire.core.tasks import Resources, Retry
from tenire.testing import SimLoop, cancel_sweep

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    Use = Callable[[ConcurrencyManager], Awaitable[object]]


class Losing(SimPools):
    """Loses every first try, so that tasks also wait for their next one."""

    def dies(self, handle: Any) -> bool:
        return handle.attempts == 1


class Ground:
    """Engines, each used once by what is swept; and what they held at their end."""

    def __init__(self, use: Use, *, inside: bool, home: Path | None = None) -> None:
        self._use = use
        self._home = home
        self._inside = inside  # whether it is a task of the engine that is cancelled, or somebody outside
        self._engine: ConcurrencyManager

    async def scenario(self) -> None:
        loop: Any = asyncio.get_running_loop()
        engine = self._engine = ConcurrencyManager(cpu=1, memory=100, seed=0, clock=loop.clock, home=self._home)
        async with engine:
            engine.orchestrator.register_resource("pages", 1)
            busy = engine.submit(asyncio.sleep, 1, name="busy", needs=Resources(cpu=1, other={"pages": 1}))
            if self._inside:
                await engine.submit(self._use, engine, name="swept")
            else:
                await self._use(engine)
            await busy

    def check(self) -> None:
        orchestrator = self._engine.orchestrator
        scheduler = orchestrator.scheduler
        if not scheduler.abandoned:  # a thread that goes on keeps its slot
            assert list(scheduler.admission.free) == list(scheduler.admission.capacity)
        assert not orchestrator.permits
        assert not Termination._minding
        assert (scheduler.running, scheduler.queued) == (scheduler.abandoned, 0)
        assert len(self._engine.timer) == 0


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(manager_module, "ThreadPoolManager", Losing)
    monkeypatch.setattr(submit, "check_sendable", lambda fn: None)
    return


async def await_a_task(engine: ConcurrencyManager) -> None:
    await engine.submit(asyncio.sleep, 1, needs=Resources(memory=50))


async def await_what_is_tried_again(engine: ConcurrencyManager) -> None:
    for on in ("thread", "process"):
        await engine.submit(int, on=on, retry=Retry(attempts=3))


async def await_a_dependent(engine: ConcurrencyManager) -> None:
    first = engine.submit(asyncio.sleep, 1)
    await engine.submit(asyncio.sleep, 1, after=[first], deadline=10)


async def await_several(engine: ConcurrencyManager) -> None:
    async with asyncio.TaskGroup() as group:
        for handle in [engine.submit(asyncio.sleep, 1, needs=Resources(memory=60)) for _ in range(3)]:
            group.create_task(wait_for(handle))


async def wait_for(handle: Any) -> None:
    await handle


async def hold_permits(engine: ConcurrencyManager) -> None:
    permit = engine.orchestrator.permit
    async with permit(Resources(memory=40)), permit(Resources(cpu=1)):
        await asyncio.sleep(1)
        async with permit(Resources(other={"pages": 1}), deadline=5):
            await asyncio.sleep(1)


async def hold_credit(engine: ConcurrencyManager) -> None:
    async with engine.data_manager.credit(80):
        await asyncio.sleep(1)


async def wait_idle(engine: ConcurrencyManager) -> None:
    await engine.orchestrator.wait_idle()


async def call_across(engine: ConcurrencyManager) -> None:
    await engine.loops.acall(asyncio.sleep, 1)
    await engine.loops.spawn(asyncio.sleep, 1)


async def shut_down(engine: ConcurrencyManager) -> None:
    await engine.shutdown()


INSIDE: tuple[Use, ...] = (
    await_a_task, await_what_is_tried_again, await_a_dependent, await_several, hold_permits, hold_credit,
)  # fmt: skip
OUTSIDE: tuple[Use, ...] = (*INSIDE, wait_idle, call_across, shut_down)


@pytest.mark.usefixtures("simulated")
@pytest.mark.parametrize("use", OUTSIDE)
def test_who_waits_outside_of_the_engine_may_be_cancelled_anywhere(use: Use) -> None:
    ground = Ground(use, inside=False)
    assert cancel_sweep(ground.scenario, check=ground.check).runs >= 2


async def use_the_home(engine: ConcurrencyManager) -> None:
    await engine.submit(asyncio.sleep, 1, name="usual")
    async with engine.data_manager.ledger():
        await asyncio.sleep(1)


@pytest.mark.usefixtures("simulated")
def test_an_engine_with_a_home_may_be_cancelled_anywhere(tmp_path: Path) -> None:
    ground = Ground(use_the_home, inside=False, home=tmp_path / "home")
    assert cancel_sweep(ground.scenario, check=ground.check).runs >= 2


@pytest.mark.usefixtures("simulated")
@pytest.mark.parametrize("use", INSIDE)
def test_a_task_that_waits_may_be_cancelled_anywhere(use: Use) -> None:
    ground = Ground(use, inside=True)
    assert cancel_sweep(ground.scenario, check=ground.check).runs >= 2


@pytest.mark.usefixtures("simulated")
@pytest.mark.parametrize("use", INSIDE)
def test_a_task_may_be_cancelled_through_its_handle_at_any_time(use: Use) -> None:
    ground = Ground(use, inside=True)
    for tenth in range(1, 60):
        with SimLoop() as loop:

            async def main(tenth: int = tenth) -> None:
                running = asyncio.create_task(ground.scenario())
                await asyncio.sleep(tenth / 10)
                for handle in ground._engine.orchestrator.unfinished():
                    if handle.name == "swept":
                        handle.cancel()
                await asyncio.wait([running])
                if not running.cancelled():
                    running.exception()

            loop.run_until_complete(main())
        ground.check()

"""Who waits for the end of an engine, and how that can go wrong."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from tenire import ConcurrencyManager, DeadlockError, RejectedError, Resources
from tenire.concurrency.loops import LoopState

if TYPE_CHECKING:
    from tenire.testing import SimLoop


async def wait_for_ever(mind_it: asyncio.Event) -> None:
    while not mind_it.is_set():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(1000)


def test_who_waits_for_the_end_is_woken_when_another_one_gives_up_what_is_stuck(sim_loop: SimLoop) -> None:
    async def main() -> None:
        mind_it = asyncio.Event()
        manager = ConcurrencyManager(clock=sim_loop.clock, cpu=1, memory=1, seed=1)
        await manager.__aenter__()
        stuck = manager.submit(wait_for_ever, mind_it)
        waiting = asyncio.create_task(manager.shutdown())
        await asyncio.sleep(1)
        await manager.shutdown(cancel=True)
        await asyncio.wait_for(waiting, 100)
        mind_it.set()
        stuck.run.cancel()

    sim_loop.run_until_complete(main())


def test_what_is_given_up_is_named_also_if_who_ends_the_engine_is_cancelled_meanwhile(
    sim_loop: SimLoop, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        mind_it = asyncio.Event()
        manager = ConcurrencyManager(clock=sim_loop.clock, cpu=1, memory=1, seed=1)
        await manager.__aenter__()
        stuck = manager.submit(wait_for_ever, mind_it, name="stuck one")
        ending = asyncio.create_task(manager.shutdown(cancel=True))
        await asyncio.sleep(0.1)
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending
        mind_it.set()
        stuck.run.cancel()

    sim_loop.run_until_complete(main())
    assert "given up, did not end when cancelled: stuck one" in caplog.text


def test_a_task_that_would_wait_for_its_own_end_is_told_so(sim_loop: SimLoop) -> None:
    async def end_of(manager: ConcurrencyManager) -> None:
        await manager.shutdown()

    async def main() -> None:
        async with ConcurrencyManager(clock=sim_loop.clock, cpu=1, memory=1, seed=1) as manager:
            with pytest.raises(DeadlockError, match="task 'closer' would wait for its own end") as caught:
                await asyncio.wait_for(manager.submit(end_of, manager, name="closer"), 100)
            assert caught.value.task == "closer"
            async with manager.orchestrator.permit(Resources(cpu=1), name="core"):
                with pytest.raises(DeadlockError, match="the holder of permit 'core' would wait for its own end"):
                    await manager.shutdown()

    sim_loop.run_until_complete(main())


def test_what_a_task_leaves_behind_may_end_the_engine(sim_loop: SimLoop) -> None:
    async def begin_the_end(manager: ConcurrencyManager) -> asyncio.Task[None]:
        return asyncio.create_task(manager.shutdown())

    async def main() -> None:
        manager = ConcurrencyManager(clock=sim_loop.clock, cpu=1, memory=1, seed=1)
        await manager.__aenter__()
        ending = await manager.submit(begin_the_end, manager)
        with pytest.raises(asyncio.CancelledError):  # at the very end, as all that tasks have left behind
            await ending
        assert manager.loops.state is LoopState.CLOSED
        with pytest.raises(RejectedError):
            manager.submit(begin_the_end, manager)

    sim_loop.run_until_complete(main())

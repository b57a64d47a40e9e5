"""Tasks that wait for each other."""

from __future__ import annotations

import asyncio

from tests.simulation.scenarios.stage import Stage, scenario

from tenire.core.tasks import Resources
from tenire.errors import DependencyError, RejectedError, TaskError


@scenario
async def a_forest_in_which_some_fail(stage: Stage) -> None:
    """Whoever depends on a failure ends with an error, or runs if it asked to; nobody else does."""
    rng = stage.rng
    failing: dict[int, bool] = {}
    after: dict[int, list[int]] = {}
    always: dict[int, bool] = {}

    async def node(number: int) -> int:
        await stage.work(0, 0.2)
        if failing[number]:
            raise ValueError(number)
        return number

    async with stage.engine(cpu=4):
        for number in range(80):
            failing[number] = rng.random() < 0.1
            after[number] = sorted(rng.sample(range(number), min(number, rng.randint(0, 3))))
            always[number] = rng.random() < 0.2
            stage.submit(
                node,
                number,
                after=[stage.handles[other] for other in after[number]],
                trigger="done" if always[number] else "success",
            )
            if rng.random() < 0.1:
                await stage.work(0, 0.5)
    succeeded: dict[int, bool] = {}
    for number, handle in enumerate(stage.handles):
        ran = always[number] or all(succeeded[other] for other in after[number])
        succeeded[number] = ran and not failing[number]
        assert bool(stage.runs[number]) == ran
        error = handle.exception()
        if succeeded[number]:
            assert handle.result() == number
        else:
            assert isinstance(error, ValueError if ran else DependencyError)


@scenario
async def a_storm_of_permits(stage: Stage) -> None:
    """Tasks that hold and ask for more, and are cancelled meanwhile: what they held comes back."""
    rng = stage.rng

    async def asking(depth: int) -> None:
        needs = Resources(memory=rng.choice((0, 5, 30)), cpu=rng.choice((0, 0.5)), other={"pages": rng.choice((0, 1))})
        try:
            async with stage.manager.orchestrator.permit(needs, deadline=rng.choice((None, 2.0))):
                await stage.work(0, 0.3)
                if depth:
                    await asking(depth - 1)
        except (RejectedError, TaskError):
            await asyncio.sleep(0)

    async with stage.engine(cancelled=True) as manager:
        manager.orchestrator.register_resource("pages", 2)
        for _ in range(40):
            stage.submit(asking, rng.randint(0, 3), needs=Resources(memory=rng.choice((0, 10))))
            if rng.random() < 0.3:
                rng.choice(stage.handles).cancel()
            await stage.work(0, 0.1)


@scenario
async def a_pool_that_waits_for_itself(stage: Stage) -> None:
    """Tasks that submit to the pool that they fill, and wait: they get on, or are told why they never would."""
    rng = stage.rng

    async def parent(depth: int) -> int:
        await stage.work(0, 0.2)
        if not depth:
            return 0
        needs = Resources(cpu=rng.choice((1, 2)), memory=rng.choice((0, 20, 60)))
        try:
            return 1 + int(await stage.submit(parent, depth - 1, needs=needs))
        except TaskError:
            return -1

    async with stage.engine():
        for _ in range(6):
            stage.submit(parent, rng.randint(1, 3), needs=Resources(cpu=1, memory=rng.choice((0, 20))))
            await stage.work(0, 0.3)
    assert stage.loop.time() < 100


@scenario
async def many_wait_for_one(stage: Stage) -> None:
    """All get its value, or all learn that it was cancelled."""
    rng = stage.rng

    async def slow() -> str:
        await stage.work(1, 3)
        return "value"

    async with stage.engine(cancelled=True):
        one = stage.submit(slow)
        waiters = [asyncio.create_task(_value(one), name=f"waiter {number}") for number in range(20)]
        await stage.work(0, 4)
        if rng.random() < 0.3:
            # Whoever awaits it and is cancelled cancels it, as with a task of asyncio.
            rng.choice(waiters).cancel()
        outcomes = {await waiter for waiter in waiters}
    assert outcomes == {"cancelled" if one.cancelled() else "value"}


async def _value(handle: object) -> str:
    try:
        return str(await handle)  # type: ignore[misc]  # a Handle
    except asyncio.CancelledError:
        return "cancelled"

"""Engines that are stopped at the worst moment, or on a disk that does not answer."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any
from unittest import mock

from tests.simulation.pools import SimPools
from tests.simulation.scenarios.stage import Stage, scenario

from tenire.concurrency import history_keeper
from tenire.core.tasks import Resources, Retry


def _busy(stage: Stage, count: int = 40) -> None:
    """Submit work of all kinds."""
    rng = stage.rng
    for _ in range(count):
        on = rng.choice(("loop", "thread", "process"))
        after = [rng.choice(stage.handles)] if stage.handles and rng.random() < 0.2 else []
        stage.submit(
            stage.work if on == "loop" else lambda: None,
            on=on,
            after=after,
            needs=Resources(cpu=1, memory=rng.choice((0, 50))),
            retry=Retry(attempts=2) if rng.random() < 0.3 else None,
        )


class Losing(SimPools):
    """Some work is lost, so that some of it waits for its next try."""

    lose = 0.2


@scenario
async def it_is_shut_down(stage: Stage) -> None:
    """At any moment: everything has an outcome within a second."""
    async with stage.engine(Losing, cancelled=True) as manager:
        _busy(stage)
        await stage.work(0, 10)
        asked = stage.loop.time()
        await manager.shutdown(cancel=True)
        assert stage.loop.time() - asked <= 1
        assert all(handle.done() for handle in stage.handles)


@scenario
async def it_is_left_by_an_error(stage: Stage) -> None:
    """The error comes through, and everything that was submitted is cancelled."""

    class OwnError(Exception):
        pass

    with contextlib.suppress(OwnError):
        async with stage.engine(Losing, cancelled=True):
            _busy(stage)
            await stage.work(0, 10)
            raise OwnError
    assert all(handle.done() for handle in stage.handles)


@scenario
async def leaving_is_cancelled(stage: Stage) -> None:
    """Whoever waits for the engine's end may be cancelled: then its tasks are too."""

    async def user() -> None:
        async with stage.engine(Losing, cancelled=True):
            _busy(stage)

    running = asyncio.create_task(user(), name="user")
    await stage.work(0, 10)
    running.cancel()
    await asyncio.wait([running])
    assert all(handle.done() for handle in stage.handles)
    assert running.cancelled() or running.exception() is None


@scenario
async def some_will_not_stop(stage: Stage) -> None:
    """Coroutines that swallow being cancelled are given up after a moment; the others end cleanly."""
    stubborn = stage.rng.randint(0, 3)

    async def deaf() -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
            if stage.loop.time() > 300:
                return

    async with stage.engine(cancelled=True) as manager:
        for _ in range(stubborn):
            stage.submit(deaf)
        _busy(stage, 10)
        await stage.work(0.1, 5)
        asked = stage.loop.time()
        await manager.shutdown(cancel=True)
        assert stage.loop.time() - asked <= 1
        await asyncio.sleep(400)


@scenario
async def the_disk_does_not_answer(stage: Stage) -> None:
    """What is known of tasks is lost then; no task waits for the disk, nor does the end for long."""

    def write(*_: Any) -> None:
        if stage.rng.random() < 0.7:
            raise OSError(28, "no space left on device")

    original = stage.loop.run_in_executor
    slow = stage.rng.random() < 0.5

    async def to_thread(fn: Any, *args: Any) -> Any:
        await asyncio.sleep(stage.rng.uniform(0, 20) if slow else 0.01)
        return await original(None, fn, *args)

    with (
        mock.patch.object(history_keeper, "_write", write),
        mock.patch.object(history_keeper, "run_blocking", to_thread),
    ):
        async with stage.engine(home=stage.home(), adaptive=True):
            for _ in range(40):
                stage.submit(stage.work, 0.1, 0.3)
                await stage.work(0, 10)
            await stage.all_done()
            over = stage.loop.time()
    assert stage.loop.time() - over <= 6
    assert all(handle.exception() is None for handle in stage.handles)

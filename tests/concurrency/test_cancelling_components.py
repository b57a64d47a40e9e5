"""Components that are used or run by themselves are cancelled at each of their awaits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tenire import ConcurrencyManager
from tenire.concurrency import EventLoopManager
from tenire.concurrency.loops import LoopState
from tenire.concurrency.supervisor import Life
from tenire.concurrency.unbroken import unbroken
from tenire.errors import ComponentError
from tenire.testing import cancel_sweep

from .test_supervisor import Bench


class FakeLife:
    """What a supervisor hands to a component; tells it to end after a second."""

    def __init__(self) -> None:
        self.lives = False

    def ready(self) -> None:
        self.lives = True

    def fail(self, error: BaseException) -> None:
        raise error

    async def wait_told_to_end(self) -> None:
        await asyncio.sleep(1)


async def ends_slowly() -> None:
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.01)


def test_a_loop_manager_closes_all_its_loops_and_its_watchdog() -> None:
    managers: list[EventLoopManager] = []

    async def scenario() -> None:
        managers[:] = [EventLoopManager()]
        async with managers[0] as loops:
            loops.start("first")
            loops.start("second").spawn(ends_slowly)
            loops.spawn(ends_slowly)
            await loops.acall(asyncio.sleep, 0)

    def check() -> None:
        assert managers[0].state is LoopState.CLOSED
        assert managers[0].owners() == {}
        assert managers[0].watchdog is not None
        assert not any(thread.is_alive() for thread in managers[0].watchdog.threads())

    assert cancel_sweep(scenario, check=check, loop_factory=asyncio.new_event_loop).awaits >= 2


def test_a_supervisor_that_is_a_component_of_another_one() -> None:
    benches: list[Bench] = []

    async def scenario() -> None:
        bench = Bench("a", "b", b={"optional": False}, intensity=0)
        benches[:] = [bench]
        breaking = asyncio.get_running_loop().call_later(1.0, lambda: bench.b.end(OSError("broken")))
        try:
            with pytest.raises(ComponentError, match="'b'"):
                await bench.supervisor.run(FakeLife())  # type: ignore[arg-type]
        finally:
            breaking.cancel()

    def check() -> None:
        lines = benches[0].lines
        assert sorted(line[1:] for line in lines if line[0] == "+") == sorted(
            line[1:] for line in lines if line[0] == "-"
        )
        assert len(benches[0].timer) == 0

    assert cancel_sweep(scenario, check=check).awaits >= 2


def test_who_waits_for_the_end_of_a_supervisor_ends_nothing() -> None:
    benches: list[Bench] = []

    async def scenario() -> None:
        bench = Bench("a")
        benches[:] = [bench]
        async with bench:
            ending = asyncio.create_task(bench.supervisor.aclose())
            try:
                await bench.supervisor.wait_ended()
            finally:
                await unbroken(asyncio.wait_for(ending, 60))

    def check() -> None:
        assert benches[0].lines == ["+a", "-a"]

    assert cancel_sweep(scenario, check=check).awaits >= 1


def test_worker_processes_that_are_warmed_up() -> None:
    managers: list[ConcurrencyManager] = []

    async def scenario() -> None:
        managers[:] = [ConcurrencyManager(cpu=2, memory=1000)]
        async with managers[0] as manager:
            await manager.thread_pool.warm_up(1, imports=["json"])

    def check() -> None:
        assert managers[0].thread_pool.statistics().processes == {}

    assert cancel_sweep(scenario, check=check, loop_factory=asyncio.new_event_loop).awaits >= 1


@pytest.mark.parametrize("name", ["orchestrator", "thread_pool", "compactor"])
def test_a_component_of_an_engine_lasts_until_it_is_cancelled(name: str) -> None:
    engines: list[ConcurrencyManager] = []

    async def scenario() -> None:
        loop: Any = asyncio.get_running_loop()
        engines[:] = [ConcurrencyManager(cpu=1, memory=1000, clock=loop.clock)]
        async with engines[0] as engine:
            life = FakeLife()
            try:
                await getattr(engine, name).run(life)
            finally:
                assert life.lives
                # Whatever became of it, the engine goes on.
                await engine.submit(asyncio.sleep, 0)

    def check() -> None:
        assert len(engines[0].timer) == 0

    assert cancel_sweep(scenario, check=check).awaits >= 1


def test_a_component_that_waits_to_be_told_to_end() -> None:
    async def scenario() -> None:
        told: Any = lambda *_: None  # noqa: E731
        life = Life(asyncio.get_running_loop(), ready=told, beat=told, fail=told)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await life.wait_told_to_end()

    assert cancel_sweep(scenario, check=lambda: None).runs >= 1


def test_an_engine_that_is_closed_because_its_loop_ends() -> None:
    engines: list[ConcurrencyManager] = []

    async def scenario() -> None:
        loop: Any = asyncio.get_running_loop()
        engines[:] = [ConcurrencyManager(cpu=1, memory=1000, clock=loop.clock)]
        engine = await engines[0].__aenter__()
        engine.submit(ends_slowly)
        engine.loops.spawn(ends_slowly)
        try:
            await asyncio.sleep(1)
        finally:
            await engine.loops.main.loop_ends()

    def check() -> None:
        assert engines[0].loops.state in (LoopState.NEW, LoopState.CLOSED)
        if engines[0].loops.adopted:
            assert len(engines[0].timer) == 0

    assert cancel_sweep(scenario, check=check).awaits >= 2

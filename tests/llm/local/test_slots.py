"""A call of a model on this machine takes its part of the CPU slots that the model computes with; on virtual time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from tenire import ConcurrencyManager, Priority, Resources
from tenire.core.admission import CPU
from tenire.core.tasks import CPU_UNIT
from tenire.llm.local import LocalTransport
from tenire.resilience.urgency import Urgency

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenire.testing import SimLoop

CALL_S = 10.0


class Calls:
    """Calls of one model in an engine.

    Attributes:
        engine: The engine.
        began: When each call had its slots, by its name.
        taken: CPU slots that were taken then.
    """

    def __init__(self, engine: ConcurrencyManager, transport: LocalTransport) -> None:
        self.engine = engine
        self.began: dict[str, float] = {}
        self.taken: dict[str, float] = {}
        self._transport = transport

    def cpu(self) -> float:
        """Return the CPU slots that are taken."""
        admission = self.engine.orchestrator.scheduler.admission
        return (admission.capacity[CPU] - admission.free[CPU]) / CPU_UNIT

    async def call(self, name: str, priority: Priority = Priority.NORMAL) -> None:
        """Ask the model something."""
        async with self._transport.ready(Urgency(priority), "rows"):
            self.began[name] = asyncio.get_running_loop().time()
            self.taken[name] = self.cpu()
            await asyncio.sleep(CALL_S)


def with_calls(loop: SimLoop, cpu: float, use: Callable[[Calls], Awaitable[None]]) -> Calls:
    """Have a model of one thread and two replies at once in an engine."""

    async def main() -> Calls:
        async with ConcurrencyManager(cpu=cpu, memory=1000, seed=0, clock=loop.clock) as engine:
            transport = LocalTransport(Path("m.gguf"), engine, memory=600)
            calls = Calls(engine, transport)
            try:
                await use(calls)
            finally:
                await transport.close()
            await asyncio.sleep(0.01)  # what was given back is taken in
            admission = engine.orchestrator.scheduler.admission
            assert admission.free == admission.capacity
            return calls

    return loop.run_until_complete(asyncio.wait_for(main(), 3600))


async def _compute(seconds: float) -> None:
    await asyncio.sleep(seconds)


def test_bulk_and_a_model_take_turns_at_the_slots_of_the_engine(sim_loop: SimLoop) -> None:
    async def use(calls: Calls) -> None:
        bulk = calls.engine.submit(_compute, CALL_S, needs=Resources(cpu=1))
        await asyncio.sleep(1)
        call = calls.engine.submit(calls.call, "call")
        await asyncio.sleep(1)
        assert not calls.began
        told = call.explain()
        assert told.gate == "resource"
        assert "needs 0.5 CPU slots" in told.reason
        after = calls.engine.submit(_compute, 1.0, needs=Resources(cpu=1))
        await bulk
        await asyncio.sleep(1)
        assert calls.taken == {"call": 0.5}
        assert not after.done(), "the call has its slot"
        await call
        await after

    with_calls(sim_loop, 1, use)


def test_calls_take_no_more_than_the_model_computes_with_however_many_there_are(sim_loop: SimLoop) -> None:
    async def use(calls: Calls) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(6):
                group.create_task(calls.call(str(number)))

    calls = with_calls(sim_loop, 3, use)
    assert max(calls.taken.values()) == 1
    begun = sorted(calls.began.values())
    assert begun[1] - begun[0] < 1, "two at once"
    assert begun[2] - begun[1] >= CALL_S - 1, "and no third one"


def test_an_urgent_call_waits_for_what_runs_and_not_for_what_waits_and_all_of_that_goes_on(sim_loop: SimLoop) -> None:
    async def use(calls: Calls) -> None:
        bulk = [calls.engine.submit(_compute, CALL_S, needs=Resources(cpu=1)) for _ in range(20)]
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(calls.call(str(number)))
            await asyncio.sleep(CALL_S / 2)
            asked = asyncio.get_running_loop().time()
            await calls.call("urgent", Priority.CRITICAL)
            assert calls.began["urgent"] - asked <= CALL_S
        for task in bulk:
            await task

    with_calls(sim_loop, 1, use)


def test_a_task_that_has_slots_itself_waits_for_no_more_of_them(sim_loop: SimLoop) -> None:
    async def use(calls: Calls) -> None:
        await calls.engine.submit(calls.call, "call", needs=Resources(cpu=1))

    calls = with_calls(sim_loop, 1, use)
    assert calls.taken["call"] == 1

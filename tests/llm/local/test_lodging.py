"""A model on this machine has memory of its engine while it is loaded; on virtual time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tenire import ConcurrencyManager, Resources
from tenire.errors import ConfigError, RejectedError
from tenire.llm.local.lodging import SPARED_S, Lodging

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenire.testing import SimLoop


class Guest:
    """A model of so many bytes.

    Attributes:
        lodging: Its memory.
        left: How often its worker was told to end.
    """

    def __init__(self, engine: ConcurrencyManager, memory: int) -> None:
        self.left = 0
        self.lodging = Lodging(engine, "model m", memory, leave=self._leave)

    def _leave(self) -> None:
        self.left += 1


def with_guest(
    loop: SimLoop, use: Callable[[ConcurrencyManager, Guest], Awaitable[None]], *, memory: int = 600
) -> None:
    """Have a model in an engine of 1,000 bytes."""

    async def main() -> None:
        async with ConcurrencyManager(cpu=2, memory=1000, seed=0, clock=loop.clock) as engine:
            guest = Guest(engine, memory)
            try:
                await use(engine, guest)
            finally:
                guest.lodging.close()
            await _taken_in()
            assert engine.data_manager.free == 1000

    loop.run_until_complete(main())


async def _until(event: asyncio.Event) -> None:
    await event.wait()


async def _nothing() -> None:
    pass


async def _taken_in() -> None:
    """Have the engine take in what was given back."""
    await asyncio.sleep(0.01)


def test_its_memory_is_lent_once_until_it_goes(sim_loop: SimLoop) -> None:
    async def use(engine: ConcurrencyManager, guest: Guest) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(guest.lodging.enter())
        assert engine.data_manager.free == 400
        guest.lodging.go()
        await _taken_in()
        assert (engine.data_manager.free, guest.left) == (1000, 1)
        await guest.lodging.enter()
        assert engine.data_manager.free == 400

    with_guest(sim_loop, use)


def test_it_waits_for_others_and_each_task_that_needs_it_says_so(sim_loop: SimLoop) -> None:
    async def use(engine: ConcurrencyManager, guest: Guest) -> None:
        over = asyncio.Event()
        engine.submit(_until, over, needs=Resources(memory=700), name="reads much")
        rows = [engine.submit(guest.lodging.enter, name=f"row {number}", pipeline="summaries") for number in range(3)]
        await asyncio.sleep(11)
        for row in rows:
            told = row.explain()
            assert (told.state, told.gate) == ("running", "resource")
            assert "waits for the permit 'model m: memory'" in told.reason
            assert "needs 600 bytes of memory, free 300 bytes of memory" in told.reason
            assert "held for long by 'reads much' (11 s)" in told.reason
        over.set()
        for row in rows:
            await row
        assert engine.data_manager.free == 400

    with_guest(sim_loop, use)


def test_more_than_there_will_ever_be_is_refused_with_the_numbers(sim_loop: SimLoop) -> None:
    async def use(engine: ConcurrencyManager, guest: Guest) -> None:
        with pytest.raises(ConfigError, match=r"model m takes about 2 MiB of memory, .* shares out is 1 MiB") as caught:
            await guest.lodging.enter()
        assert '"2MiB"' in str(caught.value.hint)
        assert engine.data_manager.free == 1000

    with_guest(sim_loop, use, memory=(1 << 20) + 1)


def test_where_tasks_wait_for_memory_it_goes_once_it_did_nothing_for_a_while(sim_loop: SimLoop) -> None:
    async def use(engine: ConcurrencyManager, guest: Guest) -> None:
        await guest.lodging.enter()
        await asyncio.sleep(10 * SPARED_S)
        assert guest.left == 0, "nobody waits"
        with guest.lodging.at_work():
            waiting = engine.submit(_nothing, needs=Resources(memory=700))
            await asyncio.sleep(10 * SPARED_S)
            assert not waiting.done()
        ended = engine.orchestrator.now()
        await asyncio.wait_for(waiting, 60)
        assert guest.left == 1
        assert engine.orchestrator.now() - ended >= SPARED_S

    with_guest(sim_loop, use)


def test_it_goes_while_the_machine_is_about_to_swap_unless_it_is_at_work(sim_loop: SimLoop) -> None:
    async def use(engine: ConcurrencyManager, guest: Guest) -> None:
        def at(level: str) -> None:
            for enter, _ in tuple(engine.control._hooks):
                if enter is not None:
                    enter(level)

        await guest.lodging.enter()
        at("high")
        with guest.lodging.at_work():
            at("critical")
        assert guest.left == 0
        at("critical")
        await _taken_in()
        assert (guest.left, engine.data_manager.free) == (1, 1000)

    with_guest(sim_loop, use)


@pytest.mark.parametrize(("measured", "free"), [(0, 400), (500, 400), (800, 200), (1100, 400)])
def test_what_it_takes_more_than_was_thought_is_admitted_if_it_is_free(
    sim_loop: SimLoop, measured: int, free: int
) -> None:
    async def use(engine: ConcurrencyManager, guest: Guest) -> None:
        await guest.lodging.enter()
        await guest.lodging.measured(measured)
        assert engine.data_manager.free == free
        guest.lodging.go()
        await _taken_in()
        await guest.lodging.enter()
        assert engine.data_manager.free == 1000 - min(1000, max(600, measured)), "the next time it is asked for"

    with_guest(sim_loop, use)


def test_who_waits_for_it_is_refused_when_it_is_closed(sim_loop: SimLoop) -> None:
    async def use(engine: ConcurrencyManager, guest: Guest) -> None:
        over = asyncio.Event()
        engine.submit(_until, over, needs=Resources(memory=700))
        row = engine.submit(guest.lodging.enter)
        await asyncio.sleep(1)
        guest.lodging.close()
        over.set()
        with pytest.raises(RejectedError, match="closed"):
            await row

    with_guest(sim_loop, use)

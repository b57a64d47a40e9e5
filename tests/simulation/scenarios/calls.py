"""Calls to servers that fail, and batches with bad items."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from tests.simulation.scenarios.stage import Stage, scenario

from tenire.core.breaker import CircuitBreaker
from tenire.core.tasks import Resources, Retry
from tenire.resilience import Batcher, Guard, MemoryCache


class Server:
    """Is up and down by turns, at last up; slow, and never sure to answer."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._turns = sorted(stage.rng.uniform(0, 120) for _ in range(6))
        self.inside = 0
        self.most = 0
        self.answered: Counter[int] = Counter()

    @property
    def up(self) -> bool:
        """Whether it answers now."""
        now = self._stage.loop.time()
        return sum(turn <= now for turn in self._turns) % 2 == 0

    async def ask(self, number: int) -> int:
        """Answer, refuse, or take for ever."""
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await self._stage.work(0.05, 0.5)
            if not self.up:
                if self._stage.rng.random() < 0.3:
                    await asyncio.sleep(1000)
                raise ConnectionError(number)
            if self._stage.rng.random() < 0.05:
                raise ConnectionResetError(number)
            self.answered[number] += 1
            return number
        finally:
            self.inside -= 1


@scenario
async def a_server_goes_up_and_down(stage: Stage) -> None:
    """Every call has its answer in the end, no more of them are out than may be, and few are made in vain."""
    rng = stage.rng
    server = Server(stage)
    slots = rng.randint(1, 6)
    breaker = CircuitBreaker(minimum_calls=4, open_for=2.0, half_open_permits=2, rng=rng)
    async with stage.engine(cancelled=True) as manager:
        manager.orchestrator.register_resource("slots", slots)
        guard = Guard(
            retry=Retry(attempts=200, backoff=0.1, max_delay=2.0),
            budget=False,
            breaker=breaker,
            timeout=2.0,
            cache=MemoryCache(),
            admission=lambda: manager.orchestrator.permit(Resources(other={"slots": 1})),
            rng=rng,
        )
        ask = guard(server.ask)
        gone = []
        for _ in range(60):
            number = rng.randrange(40)
            handle = stage.submit(ask, number, name=f"ask {number}")
            if rng.random() < 0.1:
                await stage.work(0, 1)
                if handle.cancel():
                    gone.append(handle)
            await stage.work(0, 2)
        for handle in stage.handles:
            if handle not in gone:
                assert f"ask {await handle}" == handle.name
        breaker.check()
    assert (server.inside, server.most <= slots) == (0, True)
    assert guard.statistics().waiting == 0
    # Answers are kept before anybody sees them: nothing is asked for again that was answered.
    assert max(server.answered.values()) == 1


@scenario
async def batches_have_bad_items(stage: Stage) -> None:
    """Each caller gets the result of its own item, or its own error, whoever else is in its batch or leaves it."""
    rng = stage.rng
    bad = {number for number in range(100) if rng.random() < 0.05}
    down_until = rng.choice((0.0, 0.0, 3.0))

    async def work(numbers: list[int]) -> list[int]:
        await stage.work(0, 0.2)
        if stage.loop.time() < down_until:
            raise ConnectionError
        if bad.intersection(numbers):
            raise ValueError(numbers)
        return [2 * number for number in numbers]

    batcher = Batcher(work, most=8, places=rng.randint(1, 3))
    outcomes: dict[int, Any] = {}

    async def ask(number: int) -> None:
        try:
            outcomes[number] = await batcher(number)
        except (ValueError, ConnectionError) as error:
            outcomes[number] = error

    async with batcher, asyncio.TaskGroup() as group:
        asking = []
        for number in range(100):
            asking.append(group.create_task(ask(number), name=f"ask {number}"))
            if rng.random() < 0.1:
                rng.choice(asking).cancel()
            if rng.random() < 0.5:
                await stage.work(0, 0.1)
    for number, outcome in outcomes.items():
        if isinstance(outcome, ValueError):
            assert number in bad
        elif not isinstance(outcome, ConnectionError):
            assert (outcome, number in bad) == (2 * number, False)
    assert all(task.cancelled() or number in outcomes for number, task in enumerate(asking))
    statistics = batcher.statistics()
    assert (statistics.waiting, statistics.running) == (0, 0)

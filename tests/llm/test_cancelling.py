"""Cancel every coroutine of the room at each of its awaits: nothing may be left behind."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from tenire import ConcurrencyManager
from tenire.llm import Books, ChatClient, Price
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger
from tenire.testing import cancel_sweep

from .models import MODEL, Model, busy, down

if TYPE_CHECKING:
    from pathlib import Path

    from tenire.concurrency.quotas import Quota
    from tenire.llm.purse import Purse


class Ground:
    """What calls stand on, and whether all of it came back."""

    def __init__(self) -> None:
        self.model = Model()
        self.purse: Purse | None = None
        self.quota: Quota | None = None
        self.opened = False

    async def open(self, *failures: Exception, **options: Any) -> None:
        """Make everything anew, run ``use``, and close."""
        self.model = Model(*failures)
        self.purse = self.quota = None
        self.opened = False
        async with ConcurrencyManager(cpu=1, memory=100, seed=0, clock=VirtualClock()) as manager:
            given = {"max_concurrency": 2, "price": Price(1.0, 2.0), "budget_usd": 1.0, **options}
            async with ChatClient(MODEL, transport=self.model, manager=manager, **given) as client:
                self.opened = True
                self.purse, self.quota = client.books.purse, client._open().quota
                await self.use(client)

    async def use(self, client: ChatClient) -> None:
        raise NotImplementedError

    def check(self) -> None:
        assert self.model.inside == 0
        assert self.model.closed or not self.opened
        if self.purse is not None and self.quota is not None:
            assert self.purse.held_usd == 0
            statistics = self.quota.statistics()
            assert (statistics.in_flight, statistics.waiting) == (0, 0)


class VirtualClock:
    """The running loop's time."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def now_ns(self) -> int:
        return round(self.now() * 1e9)

    def wall(self) -> float:
        return 1e9 + self.now()


def test_a_call_that_is_put_off_fails_and_succeeds() -> None:
    class Calls(Ground):
        async def use(self, client: ChatClient) -> None:
            await client.complete("Hello")
            await client.complete("Hello", cache=False)
            await client.estimate(["a", "b"])

    ground = Calls()
    cancel_sweep(lambda: ground.open(*busy(), *down()), check=ground.check)


def test_equal_calls_and_one_that_waits_for_money() -> None:
    class Calls(Ground):
        async def use(self, client: ChatClient) -> None:
            async with asyncio.TaskGroup() as group:
                for text in ("a", "a", "b", "c"):
                    group.create_task(client.complete(text, max_output_tokens=5))

    ground = Calls()
    cancel_sweep(lambda: ground.open(budget_usd=100e-6), check=ground.check)


def test_models_that_stand_in_for_each_other() -> None:
    class Calls(Ground):
        async def use(self, client: ChatClient) -> None:
            await client.complete("Hello", deadline=30.0)

    ground = Calls()
    cancel_sweep(lambda: ground.open(*down(2), retry=1, fallback=["gpt-4o", "gpt-4.1"]), check=ground.check)


def test_many_prompts() -> None:
    class Maps(Ground):
        async def use(self, client: ChatClient) -> None:
            async for _ in client.map(["a", "b", "c", "d"], ahead=3, ordered=True):
                await asyncio.sleep(0.5)

    ground = Maps()
    cancel_sweep(lambda: ground.open(), check=ground.check)


def test_a_stream() -> None:
    class Streams(Ground):
        async def use(self, client: ChatClient) -> None:
            async for _ in client.stream("Hello"):
                await asyncio.sleep(0.5)

    ground = Streams()
    cancel_sweep(lambda: ground.open(*down()), check=ground.check)


def test_vectors_of_texts() -> None:
    class Embeds(Ground):
        async def use(self, client: ChatClient) -> None:
            await client.embed(["a", "b", "a"])

    ground = Embeds()
    cancel_sweep(lambda: ground.open(*down()), check=ground.check)


def test_with_a_home_nothing_that_was_finished_is_lost(tmp_path: Path) -> None:
    runs = 0
    answered: list[str] = []
    model = Model(seconds=0)

    async def scenario() -> None:
        nonlocal runs
        runs += 1
        answered.clear()
        home = tmp_path / str(runs)
        async with (
            ConcurrencyManager(cpu=1, memory=100, adaptive=False) as manager,
            Books(manager, home, budget_usd=1.0) as books,
            ChatClient(MODEL, transport=model, manager=manager, books=books, price=Price(1.0, 2.0)) as client,
        ):
            answered.append((await client.complete("a")).text)
            await client.embed(["x"])
            await books.spending()
            await client.cancel_batches()
            answered.append((await client.complete("b")).text)

    async def check() -> None:
        await asyncio.to_thread(look)

    def look() -> None:
        home = Home(tmp_path / str(runs))
        if not Ledger.exists(home):
            return
        with Ledger.join(home) as ledger:
            assert ledger.replies.count() >= len(answered)
            with ledger.snapshot():
                connection = ledger._database._connection
                assert connection.execute("SELECT count(*) FROM flights").fetchone() == (0,)
                assert connection.execute("SELECT count(*) FROM spending_holds").fetchone() == (0,)

    every = int(os.environ.get("TENIRE_SWEEP_EVERY", "2"))
    report = cancel_sweep(scenario, check=check, loop_factory=asyncio.new_event_loop, may_finish=True, every=every)
    assert report.awaits > 10

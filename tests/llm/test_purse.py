"""The hard stop: what is spent and what is under way never pass the budget."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, cast

import pytest

from tenire.core.tasks import Priority
from tenire.errors import BudgetError
from tenire.llm.purse import Purse
from tenire.resilience.urgency import Urgency
from tenire.storage.spending import Hold
from tenire.testing import run

from .engines import timing

if TYPE_CHECKING:
    from tenire.llm.reply_log import ReplyLog

USD = 10**12


def test_a_call_that_could_pass_the_budget_is_refused_with_the_numbers() -> None:
    async def main() -> None:
        purse = Purse(1.0, **timing())
        await purse.take("news", USD // 2)
        purse.settle("news", USD // 2, cost=USD * 4 // 10)
        with pytest.raises(BudgetError) as caught:
            await purse.take("news", USD * 7 // 10)
        assert str(caught.value) == (
            "not called: the next call could cost $0.7, and of budget_usd of $1.00, $0.4 is spent"
        )
        assert (caught.value.budget_usd, caught.value.spent_usd) == (1.0, 0.4)
        assert "raise the budget" in (caught.value.hint or "")
        await purse.take("news", USD * 6 // 10)

    run(main)


def test_what_may_fit_once_others_have_ended_waits_in_order() -> None:
    order = []

    async def call(purse: Purse, name: str, most: int, cost: int, seconds: float) -> None:
        await purse.take("news", most)
        order.append(name)
        await asyncio.sleep(seconds)
        purse.settle("news", most, cost=cost)

    async def main() -> float:
        purse = Purse(10 / USD, **timing())
        async with asyncio.TaskGroup() as group:
            group.create_task(call(purse, "first", 10, 2, 1.0))
            await asyncio.sleep(0)
            group.create_task(call(purse, "large", 8, 1, 1.0))
            await asyncio.sleep(0)
            group.create_task(call(purse, "small", 1, 1, 1.0))  # would fit after the first too
        return asyncio.get_running_loop().time()

    assert run(main) == 3.0
    assert order == ["first", "large", "small"]


def test_the_more_urgent_gets_it_first() -> None:
    order = []

    async def call(purse: Purse, name: str, priority: Priority) -> None:
        await purse.take("news", 10, Urgency(priority))
        order.append(name)
        await asyncio.sleep(1.0)
        purse.settle("news", 10, cost=1)

    async def main() -> None:
        purse = Purse(19 / USD, **timing())
        async with asyncio.TaskGroup() as group:
            for name in ("first", "looking", "low 1", "low 2"):
                group.create_task(call(purse, name, Priority.LOW))
                await asyncio.sleep(0)
            assert not await purse.take_now("news", 1, Priority.LOW)  # it would fit, but is no more urgent
            assert await purse.take_now("news", 1, Priority.HIGH)
            purse.settle("news", 1, cost=0)
            group.create_task(call(purse, "urgent", Priority.HIGH))

    run(main)
    assert order == ["first", "looking", "urgent", "low 1", "low 2"]


def test_who_waits_for_money_moves_up_when_somebody_more_urgent_waits_for_the_call() -> None:
    order = []
    urgencies = {name: Urgency(Priority.LOW) for name in ("first", "looking", "one", "two", "three", "four")}

    async def call(purse: Purse, name: str) -> None:
        await purse.take("news", 10, urgencies[name])
        order.append(name)
        await asyncio.sleep(1.0)
        purse.settle("news", 10, cost=1)

    async def main() -> None:
        purse = Purse(19 / USD, **timing())
        async with asyncio.TaskGroup() as group:
            for name in urgencies:
                group.create_task(call(purse, name))
                await asyncio.sleep(0)
            urgencies["four"].rise(Priority.NORMAL)
            urgencies["three"].rise(Priority.HIGH)
            assert not await purse.take_now("news", 1, Priority.HIGH)

    run(main)
    assert order == ["first", "looking", "three", "four", "one", "two"]


def test_what_is_taken_at_once_waits_for_nobody() -> None:
    async def main() -> None:
        purse = Purse(10 / USD, **timing())
        purse.limit("news", 8 / USD)
        assert await purse.take_now("news", 8)
        assert not await purse.take_now("news", 1)
        assert not await purse.take_now("mail", 3)
        with pytest.raises(BudgetError, match="the budget of pipeline 'news'"):
            await purse.take_now("news", 9)
        with pytest.raises(BudgetError, match="budget_usd"):
            await purse.take_now("mail", 11)
        assert await purse.take_now("mail", 2)  # nothing of what was refused is held
        purse.settle("news", 8, cost=0)
        assert await purse.take_now("news", 8)

    run(main)


def test_who_is_cancelled_as_its_turn_comes_passes_it_on() -> None:
    async def main() -> None:
        purse = Purse(10 / USD, **timing())
        await purse.take("news", 10)
        waiting = [asyncio.create_task(purse.take("news", 4)) for _ in range(3)]
        await asyncio.sleep(1)
        waiting[0].cancel()
        asyncio.get_running_loop().call_soon(waiting[1].cancel)  # just when it got the turn of the first
        await asyncio.wait(waiting[:2])
        purse.settle("news", 10, cost=0)
        await asyncio.wait_for(waiting[2], 1.0)
        assert await purse.take_now("news", 6)

    run(main)


def test_who_waits_is_refused_once_the_money_is_really_gone() -> None:
    async def main() -> None:
        purse = Purse(10 / USD, **timing())
        await purse.take("news", 10)
        waiting = asyncio.create_task(purse.take("news", 5))
        await asyncio.sleep(1)
        assert not waiting.done()
        purse.settle("news", 10, cost=6)
        with pytest.raises(BudgetError):
            await waiting

    run(main)


def test_what_the_home_is_told_meanwhile_is_not_counted_twice() -> None:
    class Home:
        """Learns of the first call while it is asked about the second."""

        spent = 0

        async def hold(self, wanted: int, *, least: int, keep: int, limit: int) -> Hold:
            del wanted
            if keep and not self.spent:
                self.spent = keep
                purse.recorded(keep)
            return Hold(least if self.spent + least <= limit else 0, self.spent, 0)

    async def main() -> None:
        nonlocal purse
        purse = Purse(10 / USD, **timing(), log=cast("ReplyLog", Home()))
        await purse.take("news", 8)
        purse.settle("news", 8, cost=8)
        with pytest.raises(BudgetError) as caught:
            await purse.take("news", 5)
        assert caught.value.spent_usd == 8 / USD
        await purse.aclose()

    purse: Purse
    run(main)


def test_what_other_programs_hold_is_looked_at_on_the_timer_while_somebody_waits_for_it() -> None:
    looks: list[float] = []

    class Home:
        """Of which another program holds all, for a second."""

        async def hold(self, wanted: int, *, least: int, keep: int, limit: int) -> Hold:
            del wanted, keep
            looks.append(asyncio.get_running_loop().time())
            return Hold(least, 0, 0) if looks[-1] >= 1.0 else Hold(0, 0, limit)

    async def main() -> None:
        timers = timing()  # a plain timer for the engine's control: as on a machine at rest
        purse = Purse(10 / USD, **timers, log=cast("ReplyLog", Home()))
        waiting = asyncio.create_task(purse.take("news", 5))
        later = asyncio.create_task(purse.take("news", 5, Urgency(Priority.LOW)))
        await asyncio.sleep(0.9)
        assert len(timers["timer"]) == 1, "only who is first looks"
        await waiting
        await later
        assert looks[:5] == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0])
        assert len(timers["timer"]) == 0, "nobody waits any more"
        await purse.aclose()

    run(main)


def test_a_pipeline_with_a_budget_of_its_own_stops_alone() -> None:
    async def main() -> None:
        purse = Purse(100 / USD, **timing())
        purse.limit("news", 10 / USD, spent=4)
        await purse.take("news", 6)
        with pytest.raises(BudgetError, match="the budget of pipeline 'news'"):
            await purse.take("news", 7)
        await purse.take("mail", 90)
        purse.limit("news", None)
        waiting = asyncio.create_task(purse.take("news", 7))
        await asyncio.sleep(1)
        purse.settle("mail", 90, cost=0)
        await waiting

    run(main)


def test_one_that_waits_for_its_own_budget_holds_up_nobody_else() -> None:
    async def main() -> None:
        purse = Purse(100 / USD, **timing())
        purse.limit("news", 10 / USD)
        await purse.take("news", 10)
        waiting = asyncio.create_task(purse.take("news", 5))
        await asyncio.sleep(1)
        await asyncio.wait_for(purse.take("mail", 50), 1.0)
        purse.settle("news", 10, cost=0)
        await waiting

    run(main)


def test_who_is_cancelled_while_waiting_leaves_nothing_behind() -> None:
    async def main() -> None:
        purse = Purse(10 / USD, **timing())
        purse.limit("news", 9 / USD)
        await purse.take("mail", 8)
        waiting = asyncio.create_task(purse.take("news", 5))
        await asyncio.sleep(1)
        waiting.cancel()
        await asyncio.wait([waiting])
        purse.settle("mail", 8, cost=0)
        await purse.take("news", 9)  # nothing of it is held any more

    run(main)


@pytest.mark.parametrize("seed", range(5))
def test_many_callers_never_pass_the_budget_and_use_nearly_all_of_it(seed: int) -> None:
    rng = random.Random(seed)
    limit = 10_000
    spent = held = refused = 0

    async def call(purse: Purse, pipeline: str) -> None:
        nonlocal spent, held, refused
        most = rng.randint(1, 200)
        await asyncio.sleep(rng.random() * 20)
        try:
            await purse.take(pipeline, most)
        except BudgetError:
            refused += 1
            return
        held += most
        assert spent + held <= limit
        await asyncio.sleep(rng.random())
        cost = rng.randint(0, most)
        held -= most
        spent += cost
        purse.settle(pipeline, most, cost=cost)

    async def main() -> None:
        purse = Purse(limit / USD, **timing())
        purse.limit("a", limit / 2 / USD)
        async with asyncio.TaskGroup() as group:
            for number in range(400):
                group.create_task(call(purse, "ab"[number % 2]))

    run(main, seed=seed)
    assert spent > limit * 0.9
    assert refused

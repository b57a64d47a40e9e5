"""What calls are charged with of which nobody has said what they used: never less than they can have cost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tenire.errors import BudgetError, CallTimeoutError
from tenire.llm import ChatClient, Price
from tenire.llm.tokens import LONG_OUTPUT

from .models import MODEL, Model, simulate

if TYPE_CHECKING:
    from tenire.llm import Estimate
    from tenire.testing import SimLoop

PRICE = Price(1.0, 2.0)


def test_a_call_of_any_length_that_broke_off_is_charged_with_all_that_was_set_aside(sim_loop: SimLoop) -> None:
    async def scenario(client: ChatClient) -> None:
        task = asyncio.create_task(client.complete("Hello"))
        await asyncio.sleep(1)
        held = client.books.purse.held_usd
        task.cancel()
        await asyncio.wait([task])
        spent = client.statistics()
        assert spent.guessed_usd == spent.cost_usd == held > LONG_OUTPUT * 2e-6

    simulate(sim_loop, scenario, Model(seconds=60), price=PRICE, budget_usd=1.0)


def test_calls_that_break_off_never_pass_the_budget(sim_loop: SimLoop) -> None:
    async def scenario(client: ChatClient) -> None:
        for number in range(2):
            with pytest.raises(CallTimeoutError):
                await client.complete(f"Hello {number}")
        with pytest.raises(BudgetError, match="is spent"):
            await client.complete("Hello 3")
        assert client.statistics().calls == 2

    budget = 2.9 * LONG_OUTPUT * 2e-6  # for two of them; what is usual would let in more
    simulate(sim_loop, scenario, Model(seconds=60), price=PRICE, budget_usd=budget, retry=1, timeout=5.0)


def test_a_long_reply_that_was_not_counted_costs_no_less_than_its_tokens(sim_loop: SimLoop) -> None:
    model = Model(answer=lambda _: "x" * 50_000)
    model.usage = None

    async def scenario(client: ChatClient) -> None:
        unbounded = await client.complete("Hello")
        assert unbounded.cost_usd is not None
        assert unbounded.cost_usd > 50_000 / 4 * 2e-6
        bounded = await client.complete("Hello", max_output_tokens=100)
        assert bounded.cost_usd == pytest.approx(100 * 2e-6, rel=0.2)

    simulate(sim_loop, scenario, model, price=PRICE)


def test_an_estimate_says_what_the_dearest_of_the_models_costs(sim_loop: SimLoop) -> None:
    async def scenario(client: ChatClient) -> None:
        dear = ChatClient("dear", transport=Model(), manager=client.manager, price=Price(5.0, 50.0))
        prices = {MODEL: PRICE, "dearer": Price(3.0, 30.0), "cheaper": Price(0.1, 0.1)}

        async def told(*fallback: str | ChatClient) -> float | None:
            way = {"transport": Model(), "manager": client.manager, "price": prices}
            async with ChatClient(MODEL, **way, fallback=fallback) as one:  # type: ignore[arg-type]
                found = await one.estimate(["Hello", "Ada"], max_output_tokens=1000)
            assert (found.calls, found.output_tokens) == (2, 2000)
            return found.cost_usd

        async with dear:
            alone = await told()
            assert alone == pytest.approx(2000 * 2e-6, rel=0.1)
            assert await told("cheaper") == alone
            assert await told("cheaper", "dearer") == pytest.approx(2000 * 30e-6, rel=0.1)
            assert await told("dearer", dear) == pytest.approx(2000 * 50e-6, rel=0.1)
            assert await told("unknown") is None

    simulate(sim_loop, scenario, Model())


def test_an_estimate_says_what_budget_does_not_refuse_the_prompts(sim_loop: SimLoop) -> None:
    async def scenario(client: ChatClient) -> None:
        async def asked(budget: float | None) -> tuple[Estimate, Estimate]:
            way: dict[str, Any] = {"transport": Model(), "manager": client.manager, "price": PRICE}
            async with ChatClient(MODEL, **way, budget_usd=budget) as one:
                before = await one.estimate(["Hello"], max_output_tokens=5)
                await one.complete("Hello", max_output_tokens=5)
                return before, await one.estimate([], max_output_tokens=5)

        told, after = await asked(None)
        assert told.cost_usd is not None
        assert told.needed_usd is not None
        assert told.cost_usd < told.needed_usd
        with pytest.raises(BudgetError):
            await asked(told.cost_usd)
        await asked(told.needed_usd)
        # Without a home, what counts is what this client has spent.
        assert (after.calls, after.cost_usd, after.needed_usd) == (0, 0.0, 20e-6)

    simulate(sim_loop, scenario, Model(), price=PRICE)

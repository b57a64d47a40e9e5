"""What the first call of a model shows, in virtual time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tenire.core.first_call import ALONE_FOR_S, REFUSED_FOR_S
from tenire.errors import AuthenticationError, BadRequestError, ServerError, TenireError, UnknownModelError
from tenire.llm import Price

from .models import Model, simulate, wrong_key

if TYPE_CHECKING:
    from tenire.llm.client import ChatClient
    from tenire.testing import SimLoop

CALLS = 40
PRICE = Price(1.0, 2.0)


async def ask_all(client: ChatClient, calls: int = CALLS) -> list[Any]:
    """Ask many prompts side by side, and return replies or errors."""
    asking = [asyncio.create_task(client.complete(f"p {number}", max_output_tokens=5)) for number in range(calls)]
    await asyncio.wait(asking)
    return [task.exception() or task.result() for task in asking]


def no_model() -> Exception:
    return UnknownModelError("no such model", status=404)


@pytest.mark.parametrize("refusal", [wrong_key, no_model])
def test_a_refusal_costs_one_call_and_nothing_else(sim_loop: SimLoop, refusal: Any) -> None:
    model = Model(*(refusal() for _ in range(CALLS)), seconds=0.1)

    async def scenario(client: ChatClient) -> None:
        errors = await ask_all(client)
        assert {type(error) for error in errors} == {type(refusal())}
        assert len({id(error) for error in errors}) == CALLS
        assert sorted(error.tries for error in errors) == [0] * (CALLS - 1) + [1]
        assert client.statistics().cost_usd == 0

    simulate(sim_loop, scenario, model, price=PRICE, max_concurrency=CALLS)
    assert len(model.requests) == 1


def test_the_calls_that_slow_refusals_let_through_are_not_charged_if_they_are_given_up(sim_loop: SimLoop) -> None:
    class Slow(Model):
        async def complete(self, request: Any) -> Any:
            if len(self.requests):
                self.seconds = 100.0
            return await super().complete(request)

    model = Slow(wrong_key(), seconds=3.0)

    async def scenario(client: ChatClient) -> None:
        with pytest.raises(AuthenticationError):
            async for _ in client.map((f"p {number}" for number in range(CALLS)), max_output_tokens=5):
                pass
        assert (client.statistics().cost_usd, client.statistics().guessed_usd) == (0, 0)

    simulate(sim_loop, scenario, model, price=PRICE)
    assert len(model.requests) == 8


def test_a_cancelled_call_is_charged_as_a_guess_as_long_as_the_key_may_be_right(sim_loop: SimLoop) -> None:
    async def scenario(client: ChatClient) -> None:
        asking = asyncio.create_task(client.complete("p", max_output_tokens=5))
        await asyncio.sleep(1)
        asking.cancel()
        await asyncio.wait([asking])
        assert client.statistics().guessed_usd > 0

    simulate(sim_loop, scenario, Model(seconds=10.0), price=PRICE)


def test_a_key_that_was_mended_is_tried_again_after_a_moment(sim_loop: SimLoop) -> None:
    model = Model(wrong_key(), seconds=0.1)

    async def scenario(client: ChatClient) -> None:
        for _ in range(3):
            with pytest.raises(AuthenticationError):
                await client.complete("p")
        assert len(model.requests) == 1
        await asyncio.sleep(REFUSED_FOR_S)
        assert all(not isinstance(one, Exception) for one in await ask_all(client))

    simulate(sim_loop, scenario, model)


@pytest.mark.parametrize("way", ["embed", "stream"])
def test_a_call_of_another_kind_says_what_was_refused(sim_loop: SimLoop, way: str) -> None:
    async def other(client: ChatClient) -> None:
        if way == "embed":
            await client.embed(["a text"])
        else:
            async for _ in client.stream("p"):
                pass

    async def scenario(client: ChatClient) -> None:
        with pytest.raises(AuthenticationError) as first:
            await client.complete("p")
        with pytest.raises(AuthenticationError) as second:
            await other(client)
        refused = "not sent, since a call of the same model has just been refused: "
        assert str(second.value) == f"{refused}{first.value}"
        assert (first.value.tries, second.value.tries) == (1, 0)
        assert second.value.status == first.value.status == 401
        assert second.value.hint == first.value.hint

    simulate(sim_loop, scenario, Model(wrong_key(), seconds=0.1))


@pytest.mark.parametrize("failure", [BadRequestError("no", status=400), ServerError("down", status=500), None])
def test_whatever_else_the_first_call_meets_lets_the_others_go(sim_loop: SimLoop, failure: Exception | None) -> None:
    model = Model(*([failure] if failure is not None else []), seconds=0.1)
    simulate(sim_loop, ask_all, model)
    assert model.most == 8
    first, second = sorted(model.times)[:2]
    assert second == pytest.approx(first + 0.1, abs=0.05)


def test_a_slow_first_call_is_not_waited_for(sim_loop: SimLoop) -> None:
    model = Model(seconds=30.0)
    simulate(sim_loop, ask_all, model)
    first, second = sorted(model.times)[:2]
    assert second == pytest.approx(first + ALONE_FOR_S, abs=0.05)
    assert model.most == 8


def test_a_first_call_that_is_cancelled_leaves_its_place(sim_loop: SimLoop) -> None:
    model = Model(seconds=0.4)

    async def scenario(client: ChatClient) -> None:
        first = asyncio.create_task(client.complete("first"))
        await asyncio.sleep(0.1)
        second = asyncio.create_task(client.complete("second"))
        await asyncio.sleep(0.1)
        assert len(model.requests) == 1
        first.cancel()
        reply = await second
        assert reply.text == "re: second"
        assert len(model.requests) == 2
        assert second.done()

    simulate(sim_loop, scenario, model)


def test_once_proven_a_refusal_is_the_business_of_one_call(sim_loop: SimLoop) -> None:
    model = Model(seconds=0.1)

    async def scenario(client: ChatClient) -> None:
        await client.complete("first")
        model.failures = [wrong_key()]
        found = await ask_all(client)
        assert sum(isinstance(one, TenireError) for one in found) == 1

    simulate(sim_loop, scenario, model)
    assert len(model.requests) == 1 + CALLS

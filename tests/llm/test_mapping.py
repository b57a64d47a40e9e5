"""Many prompts: all answered, few under way, and one bad one is no end."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest

from tenire.errors import AuthenticationError, BadRequestError, BudgetError, ConfigError, StoreError, UnknownModelError
from tenire.llm.mapping import map_prompts
from tenire.llm.money import Price
from tenire.llm.replies import Reply

from .models import Model, simulate, wrong_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from tenire.llm.client import ChatClient
    from tenire.testing import SimLoop


class Uneven(Model):
    """Takes longer for earlier prompts; some words make it fail."""

    async def _take(self) -> None:
        words = str(self.requests[-1].messages[-1]["content"])
        number = int(words.split()[-1])
        self.seconds = 10.0 - number % 7
        await super()._take()
        if "bad" in words:
            raise BadRequestError("no", status=400)
        if "key" in words:
            raise wrong_key()


async def look(replies: AsyncIterator[Reply], seen: list[int]) -> None:
    async for reply in replies:
        seen.append(reply.index)  # noqa: PERF401 - what was seen before an error counts


async def collect(client: ChatClient, prompts: Any, **options: Any) -> list[Reply]:
    return [reply async for reply in client.map(prompts, **options)]


async def asynchronous(prompts: Iterable[str]) -> AsyncIterator[str]:
    for prompt in prompts:
        yield prompt


SOURCES = pytest.mark.parametrize("source_of", [iter, asynchronous])


def test_replies_come_as_they_finish_each_with_its_place(sim_loop: SimLoop) -> None:
    replies = simulate(sim_loop, lambda client: collect(client, (f"p {n}" for n in range(20))), Uneven())
    assert sorted((reply.index, reply.text) for reply in replies) == [(n, f"re: p {n}") for n in range(20)]
    assert [reply.index for reply in replies] != list(range(20))


def test_or_in_the_order_of_the_prompts(sim_loop: SimLoop) -> None:
    replies = simulate(
        sim_loop, lambda client: collect(client, [f"p {n}" for n in range(20)], ordered=True), Uneven()
    )  # fmt: skip
    assert [(reply.index, reply.text) for reply in replies] == [(n, f"re: p {n}") for n in range(20)]


def test_prompts_may_come_from_an_async_source(sim_loop: SimLoop) -> None:
    async def source() -> AsyncIterator[str]:
        for number in range(5):
            await asyncio.sleep(3)
            yield f"p {number}"

    assert len(simulate(sim_loop, lambda client: collect(client, source()), Uneven())) == 5


@SOURCES
@pytest.mark.parametrize("ordered", [False, True])
def test_an_endless_source_is_read_only_as_far_ahead_as_said(sim_loop: SimLoop, ordered: bool, source_of: Any) -> None:
    taken = 0

    def source() -> Iterator[str]:
        nonlocal taken
        for taken in itertools.count(1):
            yield f"p {taken}"

    async def scenario(client: ChatClient) -> None:
        seen = 0
        replies = client.map(source_of(source()), ahead=10, ordered=ordered)
        async for _ in replies:
            seen += 1
            await asyncio.sleep(100)  # somebody who is slow to look
            assert taken <= seen + 11
            if seen == 30:
                break
        await replies.aclose()  # type: ignore[attr-defined]

    simulate(sim_loop, scenario, Uneven())


@pytest.mark.parametrize("ordered", [False, True])
def test_one_bad_prompt_is_an_answer_like_any_other(sim_loop: SimLoop, ordered: bool) -> None:
    prompts: list[Any] = ["p 0", "bad 1", 7, "p 3"]
    replies = simulate(sim_loop, lambda client: collect(client, prompts, ordered=ordered), Uneven())
    errors = {reply.index: type(reply.error) for reply in replies}
    assert errors == {0: type(None), 1: BadRequestError, 2: ConfigError, 3: type(None)}


@SOURCES
@pytest.mark.parametrize("ordered", [False, True])
def test_a_wrong_key_ends_it_at_once_and_nothing_finished_is_lost(
    sim_loop: SimLoop, ordered: bool, source_of: Any
) -> None:
    model = Uneven()
    seen: list[int] = []

    async def scenario(client: ChatClient) -> None:
        prompts = source_of(f"{'key' if n == 30 else 'p'} {n}" for n in range(1000))
        with pytest.raises(AuthenticationError):
            await look(client.map(prompts, ordered=ordered), seen)

    simulate(sim_loop, scenario, model)
    assert len(seen) >= 20
    assert len(model.requests) < 50


def test_no_money_ends_it_after_what_is_under_way(sim_loop: SimLoop) -> None:
    seen: list[int] = []

    async def scenario(client: ChatClient) -> None:
        with pytest.raises(BudgetError):
            await look(client.map((f"p {n}" for n in range(1000)), max_output_tokens=5), seen)
        assert client.books.purse.spent_usd <= 1e-3
        assert len(seen) * 20e-6 == pytest.approx(client.books.purse.spent_usd)

    simulate(sim_loop, scenario, Uneven(), price=Price(1.0, 2.0), budget_usd=1e-3)
    assert 46 <= len(seen) <= 50  # of fifty that the money would do for, the last could have cost more


@SOURCES
def test_what_the_source_raises_is_raised_after_the_replies(sim_loop: SimLoop, source_of: Any) -> None:
    seen: list[int] = []

    def source() -> Iterator[str]:
        yield "p 0"
        yield "p 1"
        raise OSError("the file is gone")

    async def scenario(client: ChatClient) -> None:
        with pytest.raises(OSError, match="the file is gone"):
            await look(client.map(source_of(source())), seen)

    simulate(sim_loop, scenario, Uneven())
    assert sorted(seen) == [0, 1]


@SOURCES
def test_a_source_that_is_cancelled_is_no_end_of_it(sim_loop: SimLoop, source_of: Any) -> None:
    seen: list[int] = []

    def source() -> Iterator[str]:
        yield "p 0"
        yield "p 1"
        raise asyncio.CancelledError

    async def scenario(client: ChatClient) -> None:
        with pytest.raises(asyncio.CancelledError):
            await look(client.map(source_of(source())), seen)

    simulate(sim_loop, scenario, Uneven())
    assert sorted(seen) == ([] if source_of is iter else [0, 1])


@SOURCES
@pytest.mark.parametrize("ordered", [False, True])
def test_a_call_that_cancels_itself_is_told_and_holds_up_nothing(
    sim_loop: SimLoop, ordered: bool, source_of: Any
) -> None:
    seen: list[int] = []

    async def ask(prompt: Any) -> Reply:
        await asyncio.sleep(1)
        if prompt == "p 3":
            raise asyncio.CancelledError
        return Reply(prompt)

    async def main() -> None:
        prompts = source_of(f"p {number}" for number in range(100))
        with pytest.raises(asyncio.CancelledError):
            await look(map_prompts(ask, prompts, ahead=8, ordered=ordered), seen)

    sim_loop.run_until_complete(main())
    assert sorted(seen) == [0, 1, 2, 4, 5, 6, 7]


@pytest.mark.parametrize("error", [UnknownModelError("no", status=404), StoreError("full")])
def test_what_concerns_all_is_raised(sim_loop: SimLoop, error: Exception) -> None:
    async def scenario(client: ChatClient) -> None:
        with pytest.raises(type(error)):
            await collect(client, ["a", "b"])

    simulate(sim_loop, scenario, Model(error))


def test_leaving_early_cancels_what_is_under_way(sim_loop: SimLoop) -> None:
    model = Uneven()

    async def scenario(client: ChatClient) -> None:
        replies = client.map(f"p {n}" for n in range(100))
        async for _ in replies:
            break
        await replies.aclose()  # type: ignore[attr-defined]
        assert model.inside == 0
        assert client.statistics().quota.in_flight == 0

    simulate(sim_loop, scenario, model)


@pytest.mark.parametrize("prompts", ["one string", b"bytes", 7, None])
def test_what_is_no_source_is_refused_at_once(sim_loop: SimLoop, prompts: Any) -> None:
    async def scenario(client: ChatClient) -> None:
        with pytest.raises(ConfigError, match="prompts must be an iterable"):
            client.map(prompts)

    simulate(sim_loop, scenario, Model())


@pytest.mark.parametrize("ahead", [0, -1, 1.5, True])
def test_so_is_an_impossible_number_ahead(sim_loop: SimLoop, ahead: Any) -> None:
    async def scenario(client: ChatClient) -> None:
        with pytest.raises(ConfigError, match="ahead must be"):
            client.map(["a"], ahead=ahead)

    simulate(sim_loop, scenario, Model())

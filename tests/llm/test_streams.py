"""Replies that are given on while they come."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tenire.errors import BrokenReplyError, CallTimeoutError, ServerError
from tenire.llm.money import Price
from tenire.llm.records import StreamPart

from .models import Model, down, simulate

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tenire.llm.client import ChatClient
    from tenire.llm.records import ChatRequest
    from tenire.llm.replies import ReplyPart
    from tenire.testing import SimLoop

PRICE = Price(1.0, 2.0)


async def collect(client: ChatClient, prompt: str = "Hello", **options: Any) -> list[ReplyPart]:
    return [part async for part in client.stream(prompt, **options)]


def test_words_come_one_by_one_and_the_whole_reply_last(sim_loop: SimLoop) -> None:
    async def scenario(client: ChatClient) -> None:
        times = []
        texts = []
        async for part in client.stream("Hello"):
            times.append(asyncio.get_running_loop().time())
            texts.append(part.text)
        assert texts == ["re: ", "Hello ", ""]
        assert times[1] - times[0] == pytest.approx(1.0)
        assert part.reply is not None
        assert (part.reply.text, part.reply.cost_usd, part.reply.cached) == ("re: Hello", 2e-5, False)

    simulate(sim_loop, scenario, Model(), price=PRICE)


def test_a_kept_reply_comes_in_one_part(sim_loop: SimLoop) -> None:
    async def scenario(client: ChatClient) -> None:
        await client.complete("Hello")
        [part] = await collect(client)
        assert part.reply is not None
        assert (part.text, part.reply.cached) == ("re: Hello", True)
        await collect(client, "other")
        assert (await client.complete("other")).cached

    simulate(sim_loop, scenario, Model())


def test_until_the_first_words_a_failure_is_tried_again(sim_loop: SimLoop) -> None:
    parts = simulate(sim_loop, collect, Model(*down(2)))
    assert "".join(part.text for part in parts) == "re: Hello "


class Breaks(Model):
    """Fails once some words were given on."""

    async def _take(self) -> None:
        await super()._take()
        if len(self.times) % 2 == 0:
            raise ServerError("gone", charged=True)


def test_a_stream_that_breaks_off_is_an_error_and_is_charged(sim_loop: SimLoop) -> None:
    async def scenario(client: ChatClient) -> None:
        seen = []
        stream = client.stream("Hello", max_output_tokens=50)
        assert (await anext(stream)).text == "re: "
        with pytest.raises(BrokenReplyError, match="broke off after 4 characters were given on"):
            seen.append(await anext(stream))
        assert not seen
        assert client.statistics().calls == 1
        assert client.statistics().guessed_usd > 1e-4
        assert client.statistics().quota.in_flight == 0

    simulate(sim_loop, scenario, Breaks(), price=PRICE, fallback=["gpt-4o"])


def test_a_stream_that_hangs_ends_by_its_timeout_and_is_not_begun_again(sim_loop: SimLoop) -> None:
    model = Model()

    async def scenario(client: ChatClient) -> None:
        stream = client.stream("Hello")
        await anext(stream)
        model.seconds = 1000
        await anext(stream)
        with pytest.raises((BrokenReplyError, CallTimeoutError)):
            await anext(stream)
        assert client.statistics().calls == 1
        assert len(model.requests) == 1

    simulate(sim_loop, scenario, model, timeout=30.0)


def test_who_stops_reading_ends_the_call(sim_loop: SimLoop) -> None:
    model = Model()

    async def scenario(client: ChatClient) -> None:
        stream = client.stream("Hello")
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]
        assert model.inside == 0

    simulate(sim_loop, scenario, model)


@pytest.mark.parametrize("hedge", [False, True])
@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("first", ["stream", "complete"])
def test_a_stream_and_a_whole_reply_of_the_same_are_one_call_and_paid_once(
    sim_loop: SimLoop, hedge: bool, kept: bool, first: str
) -> None:
    model = Model()

    async def scenario(client: ChatClient) -> None:
        async def whole() -> str:
            return (await client.complete("Hello", cache=kept)).text

        async def streamed() -> str:
            return "".join([part.text for part in await collect(client, cache=kept)])

        jobs = [streamed, whole] if first == "stream" else [whole, streamed]
        tasks = []
        for job in jobs:
            tasks.append(asyncio.create_task(job()))
            await asyncio.sleep(0.5)
        await asyncio.wait(tasks)
        assert {task.result().strip() for task in tasks} == {"re: Hello"}
        statistics = client.statistics()
        assert (statistics.calls, statistics.cached_calls) == ((1, 1) if kept else (2, 0))
        assert statistics.cost_usd == pytest.approx(2e-5 * statistics.calls)

    simulate(sim_loop, scenario, model, price=PRICE, hedge=hedge)


@pytest.mark.parametrize("deadline", [None, 60.0])
@pytest.mark.parametrize("streams", [False, True])
def test_who_joined_a_stream_that_breaks_off_is_answered_all_the_same(
    sim_loop: SimLoop, streams: bool, deadline: float | None
) -> None:
    async def scenario(client: ChatClient) -> None:
        async def broken() -> None:
            with pytest.raises(BrokenReplyError, match="broke off after 4 characters"):
                await collect(client)

        task = asyncio.create_task(broken())
        await asyncio.sleep(0.5)
        if streams:
            text = "".join([part.text for part in await collect(client, deadline=deadline)])
        else:
            text = (await client.complete("Hello", deadline=deadline)).text
        assert text.strip() == "re: Hello"
        await task
        assert client.statistics().calls == 2

    class Once(Breaks):
        async def _take(self) -> None:
            await (Model._take(self) if len(self.requests) > 1 else super()._take())

    model = Once()
    simulate(sim_loop, scenario, model)


class Gone(Model):
    """Breaks every stream off after its first word."""

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamPart]:
        yield StreamPart("re: ")
        await asyncio.sleep(3.0)
        raise ServerError("gone", charged=True)


def test_who_joined_a_stream_that_breaks_off_has_no_more_time_for_it(sim_loop: SimLoop) -> None:
    async def scenario(client: ChatClient) -> None:
        async def broken() -> None:
            with pytest.raises(BrokenReplyError):
                await collect(client)

        task = asyncio.create_task(broken())
        await asyncio.sleep(1.0)
        with pytest.raises(CallTimeoutError):
            await client.complete("Hello", deadline=10.0)
        assert sim_loop.time() == pytest.approx(11.0, abs=0.1)
        await task

    simulate(sim_loop, scenario, Gone(seconds=100.0))


def test_no_second_copy_of_a_stream_is_sent(sim_loop: SimLoop) -> None:
    model = Model()

    async def scenario(client: ChatClient) -> None:
        for number in range(40):
            model.seconds = 1.0 - number / 100
            await collect(client, f"{number}")
        model.seconds = 500
        task = asyncio.create_task(collect(client, "slow"))
        await asyncio.sleep(100)
        assert len(model.requests) == 41
        task.cancel()
        await asyncio.wait([task])

    simulate(sim_loop, scenario, model, hedge=True, timeout=5000.0)

"""Outages of a provider or of one of its models: what waits, what goes to another model, and what is given up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tenire.core.outages import LONGEST_DOUBT_S, Sign
from tenire.errors import (
    BadRequestError,
    BrokenReplyError,
    BudgetError,
    CallTimeoutError,
    CircuitOpenError,
    RateLimitedError,
    ServerError,
)
from tenire.llm import Price
from tenire.llm.client import ChatClient
from tenire.llm.failures import LOST_WORKER, sign_of_outage
from tenire.resilience.retries import MOST_PROBES

from .models import MODEL, Model, simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from tenire.llm.records import ChatRequest, ModelReply
    from tenire.llm.replies import Reply
    from tenire.testing import SimLoop

HOUR = 3600.0
WELL_S = 60.0
OTHER = "gpt-4o"


def refused() -> Exception:
    return ServerError("no connection", code="connect")


def unavailable() -> Exception:
    return ServerError("503 Service Unavailable", status=503)


def failed() -> Exception:
    return ServerError("500 Internal Server Error", status=500)


def closed() -> Exception:
    return ServerError("a connection that was closed without an answer", code="disconnected", charged=True)


def silent() -> Exception:
    return ServerError("no answer in time", code="timeout", charged=True)


class Provider(Model):
    """Is down for some time, all of it or some of its models; some prompts can never be answered."""

    def __init__(
        self,
        error: Callable[[], Exception] = unavailable,
        *,
        down: tuple[float, float] = (0.0, 0.0),
        models: Collection[str] = (MODEL, OTHER, "backup"),
        poison: str = "",
        fault: Exception | None = None,
        seconds: float = 0.1,
    ) -> None:
        super().__init__(seconds=seconds)
        self.error, self.down, self.models, self.poison = error, down, models, poison
        self.fault = fault or failed()

    async def complete(self, request: ChatRequest) -> ModelReply:
        reply = await super().complete(request)
        since, until = self.down
        if request.model in self.models and since <= asyncio.get_running_loop().time() < until:
            raise self.error()
        if self.poison and self.poison in str(request.messages):
            raise self.fault
        return reply


async def begin(client: ChatClient) -> None:
    """Have one call answered, and let some time pass: there is somebody to wait for."""
    await client.complete("Is there anybody?")
    await asyncio.sleep(WELL_S)


async def ask_all(client: ChatClient, number: int, **options: Any) -> list[Reply]:
    """Ask so many prompts at the same time; the reply to a prompt that failed has its error."""
    prompts = [f"{one}" for one in range(number)]
    return [reply async for reply in client.map(prompts, ordered=True, **options)]


@pytest.mark.parametrize("number", [1, 2, 5, 40])
@pytest.mark.parametrize("error", [refused, unavailable, failed, closed, silent])
def test_however_few_calls_there_are_they_wait_for_the_end_of_an_outage(
    sim_loop: SimLoop, error: Callable[[], Exception], number: int
) -> None:
    ends_at = 5 * HOUR if error is not failed else LONGEST_DOUBT_S
    provider = Provider(error, down=(WELL_S, ends_at))

    async def scenario(client: ChatClient) -> None:
        await begin(client)
        replies = await ask_all(client, number)
        assert [reply.error for reply in replies] == [None] * number
        assert ends_at <= sim_loop.time() < ends_at + 60.0

    simulate(sim_loop, scenario, provider)
    assert len(provider.times) < ends_at / 2, "it is asked now and then"


def test_who_says_that_it_is_down_is_waited_for_from_the_beginning(sim_loop: SimLoop) -> None:
    provider = Provider(unavailable, down=(0.0, 5 * HOUR))

    async def scenario(client: ChatClient) -> None:
        await client.complete("Hello")
        assert sim_loop.time() >= 5 * HOUR

    simulate(sim_loop, scenario, provider)


@pytest.mark.parametrize("error", [refused, failed, closed, silent])
def test_nobody_waits_for_a_server_that_has_never_answered(sim_loop: SimLoop, error: Callable[[], Exception]) -> None:
    provider = Provider(error, down=(0.0, 5 * HOUR))

    async def scenario(client: ChatClient) -> None:
        with pytest.raises(ServerError):
            await client.complete("Hello")
        assert len(provider.times) == 8
        assert sim_loop.time() < 120.0

    simulate(sim_loop, scenario, provider)


@pytest.mark.parametrize(
    ("error", "number"), [(refused, 1), (unavailable, 1), (failed, 6), (closed, 1), (closed, 6), (silent, 1)]
)
def test_an_outage_may_begin_while_all_is_well(sim_loop: SimLoop, error: Callable[[], Exception], number: int) -> None:
    provider = Provider(error, down=(10.05, 0.9 * HOUR))

    async def scenario(client: ChatClient) -> None:
        while sim_loop.time() < HOUR:
            assert not any(reply.error for reply in await ask_all(client, number, cache=False))
            await asyncio.sleep(0.5)

    simulate(sim_loop, scenario, provider)


@pytest.mark.parametrize("error", [refused, unavailable, failed, closed, silent])
def test_an_outage_takes_nothing_from_a_long_run(sim_loop: SimLoop, error: Callable[[], Exception]) -> None:
    provider = Provider(error, down=(3.0, 0.5 * HOUR))

    async def scenario(client: ChatClient) -> None:
        lost = [reply.error for reply in await ask_all(client, 600) if reply.error]
        assert not lost, len(lost)

    simulate(sim_loop, scenario, provider)


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("error", [closed, silent])
def test_what_may_be_paid_for_is_sent_a_few_times_in_an_outage_and_accounted_for(
    sim_loop: SimLoop, error: Callable[[], Exception], number: int
) -> None:
    provider = Provider(error, down=(WELL_S, 5 * HOUR))

    async def scenario(client: ChatClient) -> None:
        await begin(client)
        assert not any(reply.error for reply in await ask_all(client, number, max_output_tokens=100))
        sent = [str(request.messages[-1]["content"]) for request in provider.requests]
        again = [sent.count(f"{one}") - 1 for one in range(number)]
        assert all(8 <= times <= 8 + MOST_PROBES for times in again)
        spent = client.statistics()
        assert spent.calls == len(sent)
        words = (
            sum(text.startswith("Hello") for text in sent) - 1
        )  # the last one was answered, and what it has cost is known
        assert spent.guessed_usd == pytest.approx((100 * sum(again) + words) * 1e-6)

    simulate(sim_loop, scenario, provider, price=Price(0.0, 1.0))


@pytest.mark.parametrize("poisoned", [(3,), (39,), (37, 38, 39), (0, 1, 2)])
@pytest.mark.parametrize("slots", [1, 8])
@pytest.mark.parametrize("fault", [closed, silent])
def test_so_is_what_the_server_never_answers(
    sim_loop: SimLoop, poisoned: tuple[int, ...], slots: int, fault: Callable[[], Exception]
) -> None:
    provider = Provider(poison="arsenic", fault=fault())

    async def scenario(client: ChatClient) -> None:
        prompts = [f"{number} {'arsenic' if number in poisoned else 'sugar'}" for number in range(40)]
        replies = [reply async for reply in client.map(prompts, ordered=True)]
        assert {reply.index for reply in replies if reply.error} == set(poisoned)
        assert sim_loop.time() < 120.0

    simulate(sim_loop, scenario, provider, max_concurrency=slots)
    assert len(provider.times) <= 40 + len(poisoned) * (8 + MOST_PROBES + 1)


@pytest.mark.parametrize("error", [closed, silent])
def test_what_is_alone_is_known_to_be_the_reason_itself_since_a_word_is_answered(
    sim_loop: SimLoop, error: Callable[[], Exception]
) -> None:
    provider = Provider(poison="arsenic", fault=error())

    async def scenario(client: ChatClient) -> None:
        await begin(client)
        for _ in range(2):
            with pytest.raises(ServerError):
                await client.complete("arsenic")
        assert sim_loop.time() < WELL_S + 240.0

    simulate(sim_loop, scenario, provider)
    assert len(provider.times) == 1 + 2 * (8 + 1)
    words = {text for one in provider.requests if "Hello" in (text := str(one.messages))}
    assert len(words) == 2, "what was answered before may be answered by what stands before the model"


def test_a_timeout_that_is_too_short_is_no_outage(sim_loop: SimLoop) -> None:
    class Thorough(Model):
        async def _take(self) -> None:
            self.seconds = 10.0 if self.requests[-1].max_output_tokens is None else 0.1
            await super()._take()

    async def scenario(client: ChatClient) -> None:
        await client.complete("Yes or no?", max_output_tokens=1)
        with pytest.raises(CallTimeoutError):
            await client.complete("Tell me everything")

    model = Thorough()
    simulate(sim_loop, scenario, model, timeout=5.0)
    assert len(model.requests) == 1 + 8 + 1


def test_who_is_told_to_try_once_neither_waits_nor_asks(sim_loop: SimLoop) -> None:
    provider = Provider(closed, down=(WELL_S, HOUR))

    async def scenario(client: ChatClient) -> None:
        await begin(client)
        with pytest.raises(ServerError):
            await client.complete("Hi")

    simulate(sim_loop, scenario, provider, retry=1)
    assert len(provider.requests) == 2


@pytest.mark.parametrize("poisoned", [(3,), (39,), (37, 38, 39), (0, 1, 2)])
@pytest.mark.parametrize("slots", [1, 8])
@pytest.mark.parametrize("status", [500, 502, 504])
def test_what_can_never_be_answered_is_given_up_after_its_tries(
    sim_loop: SimLoop, poisoned: tuple[int, ...], slots: int, status: int
) -> None:
    provider = Provider(poison="arsenic", fault=ServerError(f"{status}", status=status))

    async def scenario(client: ChatClient) -> None:
        prompts = [f"{number} {'arsenic' if number in poisoned else 'sugar'}" for number in range(40)]
        replies = [reply async for reply in client.map(prompts, ordered=True)]
        assert {reply.index for reply in replies if reply.error} == set(poisoned)
        for reply in replies:
            if isinstance(reply.error, ServerError):
                assert reply.error.tries == 8
        assert sim_loop.time() < 120.0

    simulate(sim_loop, scenario, provider, max_concurrency=slots)


def test_what_is_alone_and_may_be_the_reason_itself_is_given_up_in_the_end(sim_loop: SimLoop) -> None:
    provider = Provider(poison="arsenic")

    async def scenario(client: ChatClient) -> None:
        await begin(client)
        with pytest.raises(ServerError, match="500"):
            await client.complete("arsenic")
        assert LONGEST_DOUBT_S <= sim_loop.time() - WELL_S < LONGEST_DOUBT_S + 120.0

    simulate(sim_loop, scenario, provider)


@pytest.mark.parametrize("error", [unavailable, failed, closed])
def test_a_deadline_ends_the_wait(sim_loop: SimLoop, error: Callable[[], Exception]) -> None:
    async def scenario(client: ChatClient) -> None:
        await begin(client)
        replies = await ask_all(client, 5, deadline=300.0)
        assert all(reply.error for reply in replies)
        assert WELL_S + 290.0 <= sim_loop.time() <= WELL_S + 300.2

    simulate(sim_loop, scenario, Provider(error, down=(WELL_S, HOUR)))


def test_an_outage_is_told_now_and_then(sim_loop: SimLoop, caplog: pytest.LogCaptureFixture) -> None:
    provider = Provider(refused, down=(WELL_S, HOUR))

    async def scenario(client: ChatClient) -> None:
        await begin(client)
        await ask_all(client, 5)
        told = "no connection; calls without a deadline wait for the end of such an outage"
        assert 4 <= caplog.text.count(told) <= 6

    simulate(sim_loop, scenario, provider)


def test_a_call_that_waits_for_the_end_of_an_outage_is_cancelled_at_once_and_holds_no_money(sim_loop: SimLoop) -> None:
    provider = Provider(refused, down=(WELL_S, HOUR))

    async def scenario(client: ChatClient) -> None:
        await begin(client)
        for number in (2, 40):  # so few that the circuit stays closed, and enough to open it
            tasks = [asyncio.create_task(client.complete(f"{one} of {number}")) for one in range(number)]
            await asyncio.sleep(200.0)
            provider.seconds = 0.0  # what was sent has come back by the next turn
            await asyncio.sleep(0.2)
            assert client.books.purse.held_usd == 0
            sent, began = len(provider.times), sim_loop.time()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            assert all(task.cancelled() for task in tasks)
            assert (sim_loop.time(), len(provider.times)) == (began, sent)
            assert client.statistics().waiting == 0

    simulate(sim_loop, scenario, provider, budget_usd=1.0)


def test_an_outage_costs_nothing_and_the_budget_still_ends_what_comes_after_it(sim_loop: SimLoop) -> None:
    provider = Provider(down=(0.0, 2 * HOUR))

    async def scenario(client: ChatClient) -> None:
        replies: list[Reply] = []

        async def ask() -> None:
            async for reply in client.map((f"{number}" for number in range(200)), max_output_tokens=10):
                assert sim_loop.time() > 2 * HOUR
                replies.append(reply)

        with pytest.raises(BudgetError):
            await ask()
        spent = client.statistics()
        assert not spent.guessed_usd
        assert 0.005 < spent.cost_usd <= 0.01
        assert len(replies) == round(spent.cost_usd / 2e-4)

    simulate(sim_loop, scenario, provider, price=Price(10.0, 20.0), budget_usd=0.01)


def test_a_try_that_may_have_been_paid_for_counts_where_nobody_was_answered_yet(sim_loop: SimLoop) -> None:
    provider = Provider(seconds=1000.0)

    async def scenario(client: ChatClient) -> None:
        with pytest.raises(CallTimeoutError):
            await client.complete("Hello")

    simulate(sim_loop, scenario, provider, timeout=5.0, price=Price(1.0, 1.0))
    assert len(provider.requests) == 8


@pytest.mark.parametrize("error", [refused, unavailable, failed, closed])
@pytest.mark.parametrize("number", [1, 5, 60])
def test_calls_that_are_under_way_when_a_model_goes_down_are_answered_by_another_one(
    sim_loop: SimLoop, error: Callable[[], Exception], number: int
) -> None:
    provider = Provider(error, down=(0.0, HOUR), models=(MODEL,))

    async def scenario(client: ChatClient) -> None:
        replies = await ask_all(client, number)
        assert {reply.model for reply in replies} == {OTHER}
        assert sim_loop.time() < 60.0
        replies = await ask_all(client, number, cache=False)
        assert {reply.model for reply in replies} == {OTHER}

    simulate(sim_loop, scenario, provider, fallback=[OTHER], max_concurrency=32)


def test_so_are_those_that_wait_behind_the_circuit_of_a_provider_for_another_client(sim_loop: SimLoop) -> None:
    first, second = Provider(down=(0.0, HOUR)), Provider()

    async def scenario(client: ChatClient) -> None:
        async with (
            ChatClient("backup", transport=second, manager=client.manager) as backup,
            ChatClient(MODEL, transport=first, manager=client.manager, fallback=[backup]) as both,
        ):
            replies = await ask_all(both, 200)
            assert {reply.model for reply in replies} == {"backup"}
            assert sim_loop.time() < 60.0
            assert both.statistics().waiting == 0

    simulate(sim_loop, scenario, Model())


def test_the_model_that_was_meant_is_asked_again_when_it_is_back(sim_loop: SimLoop) -> None:
    provider = Provider(down=(0.0, 300.0), models=(MODEL,))

    async def scenario(client: ChatClient) -> None:
        seen = []
        for number in range(600):
            seen.append((await client.complete(f"{number}")).model)
            await asyncio.sleep(1.0)
        assert seen[-200:] == [MODEL] * 200

    simulate(sim_loop, scenario, provider, fallback=[OTHER])


@pytest.mark.parametrize("number", [1, 5, 60])
def test_when_all_models_are_down_the_one_that_was_meant_is_waited_for(sim_loop: SimLoop, number: int) -> None:
    provider = Provider(down=(0.0, HOUR))

    async def scenario(client: ChatClient) -> None:
        replies = await ask_all(client, number)
        assert sim_loop.time() < HOUR + 120.0
        models = [reply.model for reply in replies]
        assert MODEL in models or number < 60
        assert None not in models

    simulate(sim_loop, scenario, provider, fallback=[OTHER])


@pytest.mark.parametrize("number", [1, 3])
def test_so_it_is_when_all_models_close_their_connections(sim_loop: SimLoop, number: int) -> None:
    provider = Provider(closed, down=(WELL_S, HOUR))

    async def scenario(client: ChatClient) -> None:
        await begin(client)
        assert [reply.model for reply in await ask_all(client, number)] == [MODEL] * number
        assert sim_loop.time() < HOUR + 60.0

    simulate(sim_loop, scenario, provider, fallback=[OTHER])
    assert len(provider.times) < HOUR / 2


@pytest.mark.parametrize("number", [1, 5, 60])
def test_but_whoever_is_back_first_answers(sim_loop: SimLoop, number: int) -> None:
    class Unequal(Provider):
        async def complete(self, request: ChatRequest) -> ModelReply:
            reply = await super().complete(request)
            if request.model == MODEL:
                raise unavailable()
            return reply

    async def scenario(client: ChatClient) -> None:
        replies = await ask_all(client, number)
        assert {reply.model for reply in replies} == {OTHER}
        assert 0.25 * HOUR < sim_loop.time() < 0.25 * HOUR + 120.0

    simulate(sim_loop, scenario, Unequal(down=(0.0, 0.25 * HOUR)), fallback=[OTHER])


@pytest.mark.parametrize(
    ("every", "within"), [(2, LONGEST_DOUBT_S + 180.0), (8, 180.0)]
)  # half of all is like an outage
def test_what_no_model_can_answer_is_given_up(sim_loop: SimLoop, every: int, within: float) -> None:
    provider = Provider(poison="arsenic")

    async def scenario(client: ChatClient) -> None:
        prompts = [f"{number} {'sugar' if number % every else 'arsenic'}" for number in range(40)]
        replies = [reply async for reply in client.map(prompts, ordered=True)]
        assert [reply.error is None for reply in replies] == [bool(number % every) for number in range(40)]
        assert sim_loop.time() < within

    simulate(sim_loop, scenario, provider, fallback=[OTHER])


def test_a_model_that_refuses_a_prompt_is_not_asked_for_it_again_in_an_outage(sim_loop: SimLoop) -> None:
    class Choosy(Provider):
        async def complete(self, request: ChatRequest) -> ModelReply:
            if request.model == OTHER:
                self.requests.append(request)
                raise BadRequestError("too long", status=400)
            return await super().complete(request)

    provider = Choosy(down=(0.0, HOUR))

    async def scenario(client: ChatClient) -> None:
        assert (await client.complete("Hello")).model == MODEL
        assert HOUR < sim_loop.time() < HOUR + 60.0

    simulate(sim_loop, scenario, provider, fallback=[OTHER])
    assert sum(request.model == OTHER for request in provider.requests) == 1


def test_a_deadline_ends_the_rounds_over_models(sim_loop: SimLoop) -> None:
    async def scenario(client: ChatClient) -> None:
        for number in (1, 40):
            began = sim_loop.time()
            replies = await ask_all(client, number, deadline=200.0)
            assert all(reply.error for reply in replies)
            assert sim_loop.time() <= began + 200.1

    simulate(sim_loop, scenario, Provider(down=(0.0, HOUR)), fallback=[OTHER])


@pytest.mark.parametrize(
    ("error", "sign"),
    [
        (refused(), Sign.UNREACHED),
        (ServerError("no address", code="dns"), Sign.UNREACHED),
        (ServerError("no connection in time", code="timeout"), Sign.UNREACHED),
        (ServerError("no answer in time", code="timeout", charged=True), None),
        (ServerError("closed", code="disconnected", charged=True), None),
        (ServerError("somehow"), Sign.UNWELL),
        (ServerError("its worker ended", code=LOST_WORKER), None),
        (unavailable(), Sign.UNWELL),
        (ServerError("529 Overloaded", status=529), Sign.UNWELL),
        (failed(), Sign.DOUBTFUL),
        (ServerError("502 Bad Gateway", status=502), Sign.DOUBTFUL),
        (ServerError("504 Gateway Timeout", status=504), Sign.DOUBTFUL),
        (ServerError("408 Request Timeout", status=408), None),
        (RateLimitedError("429", status=429), None),
        (BrokenReplyError("no JSON", status=200, charged=True), None),
        (ConnectionRefusedError(), None),
    ],
)
def test_what_an_error_tells_of_an_outage(error: Exception, sign: Sign | None) -> None:
    assert sign_of_outage(error) is sign


def test_who_is_to_try_once_does_not_wait_for_a_circuit(sim_loop: SimLoop) -> None:
    provider = Provider(down=(0.0, HOUR))

    async def scenario(client: ChatClient) -> None:
        for number in range(20):  # enough to open it
            with pytest.raises(ServerError, match="503"):
                await client.complete(f"{number}")
        assert client.statistics().breaker == "open"
        began, sent = sim_loop.time(), len(provider.times)
        with pytest.raises(CircuitOpenError, match=r"most such calls have failed .* open for another .* s") as caught:
            await client.complete("now or never")
        with pytest.raises(CircuitOpenError):
            await client.embed(["now or never"])
        assert "more than one try" in (caught.value.hint or "")
        assert caught.value.retry_at is not None
        assert (sim_loop.time(), len(provider.times)) == (pytest.approx(began, abs=0.1), sent)

    simulate(sim_loop, scenario, provider, retry=1)


def test_who_is_to_try_once_and_finds_out_whether_a_circuit_may_close_tries_once(sim_loop: SimLoop) -> None:
    provider = Provider(down=(0.0, HOUR))

    async def scenario(client: ChatClient) -> None:
        for number in range(20):
            with pytest.raises(ServerError, match="503"):
                await client.complete(f"{number}")
        await asyncio.sleep(60)
        sent = len(provider.times)
        with pytest.raises(ServerError, match="503"):
            await client.complete("once")
        assert len(provider.times) == sent + 1
        await asyncio.sleep(HOUR)
        assert (await client.complete("once more")).text

    simulate(sim_loop, scenario, provider, retry=1)


def test_who_is_to_try_once_asks_each_model_once_and_ends(sim_loop: SimLoop) -> None:
    provider = Provider(down=(0.0, HOUR))

    async def scenario(client: ChatClient) -> None:
        for number in range(30):
            with pytest.raises((ServerError, CircuitOpenError)):
                await client.complete(f"{number}")
        assert sim_loop.time() < 30.0
        assert sorted(request.model for request in provider.requests).count(OTHER) >= 20

    simulate(sim_loop, scenario, provider, retry=1, fallback=[OTHER])

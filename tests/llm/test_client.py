"""One call of a client: what it returns, what is kept, and what it costs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tenire import ConcurrencyManager, llm
from tenire.errors import (
    BadRequestError,
    BrokenReplyError,
    BudgetError,
    CallTimeoutError,
    ConfigError,
    MissingExtraError,
    RejectedError,
    ServerError,
)
from tenire.llm.client import ChatClient
from tenire.llm.money import Price
from tenire.llm.records import Usage
from tenire.llm.ways import find_way

from .models import MODEL, Model, busy, down, simulate, unreachable, wrong_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tenire.resilience.urgency import Urgency
    from tenire.testing import SimLoop

PRICE = Price(1.0, 2.0)  # 10 tokens in and 5 out cost 20 millionths


def test_a_reply_has_text_usage_and_what_it_cost(sim_loop: SimLoop) -> None:
    model = Model()
    reply = simulate(sim_loop, lambda client: client.complete("Hello", max_output_tokens=80), model, price=PRICE)
    assert (reply.text, reply.usage, reply.cost_usd, reply.cached) == ("re: Hello", Usage(10, 5), 2e-5, False)
    assert (reply.model, reply.finish_reason, reply.id, reply.error) == (MODEL, "stop", "id 1", None)
    request = model.requests[0]
    assert (request.messages, request.max_output_tokens) == (({"role": "user", "content": "Hello"},), 80)


def test_a_reply_of_a_model_without_a_known_price_has_no_cost(sim_loop: SimLoop) -> None:
    async def scenario(client: ChatClient) -> None:
        other = ChatClient("unheard-of", transport=Model(), manager=client.manager)
        async with other:
            assert (await other.complete("Hello")).cost_usd is None
            assert (await other.complete("Hello")).cost_usd == 0.0  # it was cached

    simulate(sim_loop, scenario, Model())


def test_the_same_request_is_answered_once_and_costs_nothing_again(sim_loop: SimLoop) -> None:
    model = Model()

    async def scenario(client: ChatClient) -> None:
        await client.complete("Hello", parameters={"temperature": 1})
        again = await client.complete([{"content": "Hello", "role": "user"}], parameters={"temperature": 1.0})
        assert (again.text, again.cached, again.cost_usd) == ("re: Hello", True, 0.0)
        for others in ({"max_output_tokens": 5}, {"parameters": {"temperature": 0}}, {"schema": {"type": "string"}}):
            model.answer = '"{}"'.format
            assert not (await client.complete("Hello", **others)).cached  # type: ignore[arg-type]
        statistics = client.statistics()
        assert (statistics.calls, statistics.cached_calls) == (4, 1)
        assert statistics.cost_usd == pytest.approx(8e-5)

    simulate(sim_loop, scenario, model, price=PRICE)
    assert len(model.requests) == 4


def test_equal_prompts_under_way_are_one_call(sim_loop: SimLoop) -> None:
    model = Model()

    async def scenario(client: ChatClient) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(client.complete("Hello")) for _ in range(5)]
        assert sorted(task.result().cached for task in tasks) == [False, True, True, True, True]
        assert sum(task.result().cost_usd or 0 for task in tasks) == 2e-5
        assert client.statistics().cached_calls == 4

    simulate(sim_loop, scenario, model, price=PRICE)
    assert len(model.requests) == 1


def test_without_the_cache_each_prompt_is_a_call_and_all_of_them_are_paid(sim_loop: SimLoop) -> None:
    model = Model()

    async def scenario(client: ChatClient) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(client.complete("Hello", cache=False)) for _ in range(3)]
        assert [task.result().cached for task in tasks] == [False] * 3
        assert client.statistics().cost_usd == pytest.approx(6e-5)
        assert not (await client.complete("Hello")).cached  # and none of them was kept

    simulate(sim_loop, scenario, model, price=PRICE)


def test_a_failure_is_tried_again_and_a_refusal_waits_as_long_as_it_says(sim_loop: SimLoop) -> None:
    model = Model(*busy(), *down(2))
    reply = simulate(sim_loop, lambda client: client.complete("Hello"), model)
    assert reply.text == "re: Hello"
    assert len(model.times) == 4
    assert model.times[1] - model.times[0] >= 3.0  # one second for the refusal, two that it asked for


def test_a_failure_says_how_many_tries_got_an_answer(sim_loop: SimLoop) -> None:
    async def scenario(client: ChatClient) -> None:
        await client.complete("Hello")
        model.failures = [failed[0], *unreachable(2), *failed[1:]]
        with pytest.raises(ServerError) as caught:
            await client.complete("Hello again")
        assert caught.value.tries == 3

    model, failed = Model(), [ServerError("it failed", status=500) for _ in range(3)]
    simulate(sim_loop, scenario, model, retry=3)
    assert len(model.times) == 6


def test_refusals_burn_no_tries(sim_loop: SimLoop) -> None:
    model = Model(*busy(30, retry_after=None), *down(1))
    assert simulate(sim_loop, lambda client: client.complete("Hello"), model, retry=2).text == "re: Hello"


@pytest.mark.parametrize("error", [wrong_key(), BadRequestError("no", status=400)])
def test_what_will_never_succeed_is_not_tried_again(sim_loop: SimLoop, error: Exception) -> None:
    model = Model(error)

    async def scenario(client: ChatClient) -> None:
        with pytest.raises(type(error)):
            await client.complete("Hello")

    simulate(sim_loop, scenario, model)
    assert len(model.requests) == 1


def test_an_error_is_not_kept(sim_loop: SimLoop) -> None:
    async def scenario(client: ChatClient) -> None:
        with pytest.raises(ServerError):
            await client.complete("Hello")
        assert (await client.complete("Hello")).text == "re: Hello"

    simulate(sim_loop, scenario, Model(*down()), retry=1)


def test_a_deadline_covers_all_of_it(sim_loop: SimLoop) -> None:
    async def scenario(client: ChatClient) -> None:
        with pytest.raises(CallTimeoutError, match=f"the call of {MODEL} did not end within its deadline of 2.5 s"):
            await client.complete("Hello", deadline=2.5)

    simulate(sim_loop, scenario, Model(seconds=60))


def test_a_try_that_hangs_ends_and_is_charged_as_a_guess(sim_loop: SimLoop) -> None:
    model = Model(seconds=600)

    async def scenario(client: ChatClient) -> None:
        task = asyncio.create_task(client.complete("Hello", max_output_tokens=100))
        await asyncio.sleep(59)
        model.seconds = 1
        await task
        statistics = client.statistics()
        assert (statistics.calls, statistics.retries) == (2, 1)
        assert statistics.guessed_usd == pytest.approx(200e-6, rel=0.2)  # 100 tokens out, and a few in
        assert statistics.cost_usd == pytest.approx(statistics.guessed_usd + 20e-6)
        reply = task.result()
        assert reply.cost_usd == pytest.approx(statistics.cost_usd)

    simulate(sim_loop, scenario, model, timeout=60.0, price=PRICE)


def test_a_reply_without_usage_is_charged_as_a_guess(sim_loop: SimLoop) -> None:
    model = Model()
    model.usage = None

    async def scenario(client: ChatClient) -> None:
        reply = await client.complete("Hello", max_output_tokens=100)
        assert reply.usage is None
        assert reply.cost_usd == client.statistics().guessed_usd > 0

    simulate(sim_loop, scenario, model, price=PRICE)


def test_the_budget_is_a_hard_stop_and_what_is_known_still_answers(sim_loop: SimLoop) -> None:
    async def scenario(client: ChatClient) -> None:
        await client.complete("Hello", max_output_tokens=5)
        with pytest.raises(BudgetError, match=r"budget_usd of \$0\.00005"):
            await client.complete("other", max_output_tokens=50)
        assert (await client.complete("Hello", max_output_tokens=5)).cached

    simulate(sim_loop, scenario, Model(), price=PRICE, budget_usd=5e-5)


@pytest.mark.parametrize("options", [{}, {"parameters": {"max_tokens": 4000}}, {"max_output_tokens": 4000}])
def test_the_budget_is_not_passed_by_long_replies(sim_loop: SimLoop, options: dict[str, Any]) -> None:
    model = Model()
    model.usage = Usage(10, 4000)

    async def scenario(client: ChatClient) -> None:
        with pytest.raises(BudgetError):
            async for _ in client.map((f"{number}" for number in range(100)), **options):
                pass
        assert 0.4 <= client.statistics().cost_usd <= 2.0

    simulate(sim_loop, scenario, model, price=Price(1.0, 100.0), budget_usd=2.0)


def test_a_budget_without_a_price_is_refused_before_anything_is_sent() -> None:
    async def main() -> None:
        model = Model()
        client = ChatClient("unheard-of", transport=model, budget_usd=1.0)
        with pytest.raises(ConfigError, match="what 'unheard-of' costs is not known"):
            await client.__aenter__()
        assert model.closed

    asyncio.run(main())


def test_what_is_larger_than_the_quota_is_refused_with_the_numbers(sim_loop: SimLoop) -> None:
    async def scenario(client: ChatClient) -> None:
        with pytest.raises(RejectedError, match=r"can never be sent: the limit .* is 1,000"):
            await client.complete("Hello", max_output_tokens=1000)
        assert (await client.complete("Hello", max_output_tokens=100)).text

    simulate(sim_loop, scenario, Model(), tpm=1000)


def test_an_urgent_call_goes_before_a_full_queue(sim_loop: SimLoop) -> None:
    model = Model(seconds=10.0)

    async def scenario(client: ChatClient) -> float:
        async with asyncio.TaskGroup() as group:
            bulk = [group.create_task(client.complete(f"{number}")) for number in range(100)]
            await asyncio.sleep(1)
            start = asyncio.get_running_loop().time()
            await client.complete("now", priority="high")
            took = asyncio.get_running_loop().time() - start
            for task in bulk:
                task.cancel()
        return took

    assert simulate(sim_loop, scenario, model, max_concurrency=2) <= 20.0


@pytest.mark.parametrize("hedge", [False, True])
def test_an_urgent_call_takes_an_equal_one_of_the_bulk_with_it_past_the_queue(sim_loop: SimLoop, hedge: bool) -> None:
    model = Model(seconds=10.0)

    async def scenario(client: ChatClient) -> None:
        now = asyncio.get_running_loop().time
        bulk = [asyncio.create_task(client.complete(f"{number}", priority="low")) for number in range(100)]
        await asyncio.sleep(1)
        started = now()
        waiting = [asyncio.create_task(client.complete("90", priority=one)) for one in ("idle", "high", "normal")]
        replies = [await each for each in (*waiting, bulk[90])]
        assert now() - started <= 20.0
        assert {reply.text for reply in replies} == {"re: 90"}
        assert len(model.requests) <= 6  # nothing is asked for twice
        for task in bulk:
            task.cancel()
        await asyncio.wait(bulk)

    simulate(sim_loop, scenario, model, max_concurrency=2, hedge=hedge)


def test_a_call_that_failed_is_made_again_as_urgently_as_who_waits_for_it(sim_loop: SimLoop) -> None:
    model = Model(*down(), seconds=10.0)

    async def scenario(client: ChatClient) -> None:
        now = asyncio.get_running_loop().time
        calls = [asyncio.create_task(client.complete("first", priority="low"))]
        await asyncio.sleep(1)
        calls += [asyncio.create_task(client.complete(f"{number}")) for number in range(100)]
        started = now()
        await client.complete("first", priority="high")  # it is under way, and is going to fail
        assert now() - started <= 30.0
        for task in calls:
            task.cancel()
        await asyncio.wait(calls)

    simulate(sim_loop, scenario, model, max_concurrency=1)


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def test_calls_that_wait_for_a_slot_keep_no_money_from_urgent_ones(sim_loop: SimLoop) -> None:
    async def scenario(client: ChatClient) -> None:
        async def bulk() -> None:
            prompts = (f"p {number}" for number in range(200))
            async for _ in client.map(prompts, max_output_tokens=100, priority="low"):
                pass

        running = asyncio.create_task(bulk())
        await asyncio.sleep(2.5)
        now = asyncio.get_running_loop().time
        started = now()
        await client.complete("urgent", max_output_tokens=100, priority="high")
        assert now() - started <= 2.0  # one call that was under way, and its own
        running.cancel()
        await asyncio.wait([running])

    # Of what 200 calls could cost there is a tenth, of what they cost there is enough.
    simulate(sim_loop, scenario, Model(), price=Price(1.0, 100.0), budget_usd=0.2, max_concurrency=4)


def test_a_reply_that_is_no_json_is_asked_for_once_more_with_the_reason(sim_loop: SimLoop) -> None:
    answers = iter(["n is 7", '{"n": 7}'])
    model = Model(answer=lambda _: next(answers))

    async def scenario(client: ChatClient) -> None:
        reply = await client.complete("Hello", schema=SCHEMA)
        assert reply.data == {"n": 7}
        assert reply.cost_usd == pytest.approx(4e-5)  # both were paid for
        again = await client.complete("Hello", schema=SCHEMA)
        assert (again.cached, again.data) == (True, {"n": 7})

    simulate(sim_loop, scenario, model, price=PRICE, retry=1)
    *_, before, complaint = model.requests[1].messages
    assert before == {"role": "assistant", "content": "n is 7"}
    assert "expected a reply that follows its JSON schema, got 6 characters that are no JSON" in complaint["content"]


def test_the_second_question_has_the_room_that_it_needs(sim_loop: SimLoop) -> None:
    answers = iter(["no " * 500, '{"n": 7}'])
    model = Model(answer=lambda _: next(answers))

    async def scenario(client: ChatClient) -> None:
        # It repeats the reply that did not fit, which is more than the whole quota.
        with pytest.raises(RejectedError, match="can never be sent"):
            await client.complete("Hello", schema=SCHEMA, max_output_tokens=10)

    simulate(sim_loop, scenario, model, tpm=300)
    assert len(model.requests) == 1


def test_a_second_such_reply_is_the_error_and_is_paid_for(sim_loop: SimLoop) -> None:
    model = Model(answer=lambda _: "no")

    async def scenario(client: ChatClient) -> None:
        with pytest.raises(BrokenReplyError, match="follows its JSON schema") as caught:
            await client.complete("Hello", schema=SCHEMA)
        assert "asked twice" in (caught.value.hint or "")
        assert client.statistics().cost_usd == pytest.approx(4e-5)

    simulate(sim_loop, scenario, model, price=PRICE)
    assert len(model.requests) == 2


def test_other_models_are_asked_in_order_when_all_tries_have_failed(sim_loop: SimLoop) -> None:
    model = Model(*down(4))
    reply = simulate(
        sim_loop, lambda client: client.complete("Hello"), model, retry=2, fallback=["gpt-4o", "gpt-4.1"]
    )  # fmt: skip
    assert reply.model == "gpt-4.1"
    assert [request.model for request in model.requests] == [MODEL, MODEL, "gpt-4o", "gpt-4o", "gpt-4.1"]


def test_the_last_error_is_raised_when_nobody_answers(sim_loop: SimLoop) -> None:
    model = Model(wrong_key(), *down(1))

    async def scenario(client: ChatClient) -> None:
        with pytest.raises(ServerError):
            await client.complete("Hello")

    simulate(sim_loop, scenario, model, retry=1, fallback=["gpt-4o"])


def test_the_deadline_is_for_all_models_together(sim_loop: SimLoop) -> None:
    async def scenario(client: ChatClient) -> None:
        with pytest.raises(CallTimeoutError):
            await client.complete("Hello", deadline=15.0)
        assert asyncio.get_running_loop().time() == pytest.approx(15.0)

    simulate(sim_loop, scenario, Model(*down(9), seconds=10), retry=1, fallback=["gpt-4o", "gpt-4.1"])


def test_another_client_stands_in_at_once_while_the_provider_is_down(sim_loop: SimLoop) -> None:
    model, other = Model(*down(10_000), seconds=0.1), Model(seconds=0.1)

    async def scenario(client: ChatClient) -> None:
        async with (
            ChatClient("backup", transport=other, manager=client.manager) as backup,
            ChatClient(MODEL, transport=model, manager=client.manager, fallback=[backup]) as first,
        ):
            for number in range(30):
                assert (await first.complete(f"{number}")).model == "backup"
            asked = len(model.requests)
            started = asyncio.get_running_loop().time()
            assert (await first.complete("one more")).model == "backup"
            assert asyncio.get_running_loop().time() - started < 1
            assert first.statistics().breaker == "open"
            assert len(model.requests) == asked

    simulate(sim_loop, scenario, Model())


def test_calls_wait_for_the_end_of_an_outage_and_all_succeed(sim_loop: SimLoop) -> None:
    class Down(Model):
        async def _take(self) -> None:
            await super()._take()
            if asyncio.get_running_loop().time() < 120.0:
                raise ServerError("no connection")

    model = Down(seconds=0.1)

    async def scenario(client: ChatClient) -> Any:
        async with asyncio.TaskGroup() as group:
            for number in range(200):
                group.create_task(client.complete(f"{number}"))
        return client.statistics()

    statistics = simulate(sim_loop, scenario, model, max_concurrency=32)
    assert statistics.calls < 400


def test_a_reply_is_given_while_it_is_stale_and_a_new_one_is_fetched(sim_loop: SimLoop) -> None:
    answers = iter(["first", "second", "third"])
    model = Model(answer=lambda _: next(answers))

    async def scenario(client: ChatClient) -> None:
        assert (await client.complete("Hello")).text == "first"
        await asyncio.sleep(50)
        assert (await client.complete("Hello")).text == "first"
        assert len(model.requests) == 1
        await asyncio.sleep(20)  # beyond its time to live
        assert (await client.complete("Hello")).text == "first"
        await asyncio.sleep(5)
        assert (await client.complete("Hello")).text == "second"
        await asyncio.sleep(200)  # so old that it is not given any more
        assert (await client.complete("Hello")).text == "third"

    simulate(sim_loop, scenario, model, ttl=60.0, stale=60.0)


def test_a_reply_of_a_clock_that_was_set_back_is_not_fresh_for_ever(sim_loop: SimLoop) -> None:
    model = Model()

    async def scenario(client: ChatClient) -> None:
        await client.complete("Hello")
        sim_loop.clock.step_wall(-1e6)
        assert (await client.complete("Hello")).cached, "it was paid"
        await asyncio.sleep(50)
        assert (await client.complete("Hello")).cached
        await asyncio.sleep(20)
        assert not (await client.complete("Hello")).cached

    simulate(sim_loop, scenario, model, ttl=60.0)


def test_a_new_reply_that_cannot_be_had_is_nobody_s_error(sim_loop: SimLoop) -> None:
    model = Model()

    async def scenario(client: ChatClient) -> None:
        await client.complete("Hello")
        await asyncio.sleep(70)
        model.failures = [wrong_key()]
        assert (await client.complete("Hello")).cached
        await asyncio.sleep(5)
        assert (await client.complete("Hello")).cached

    simulate(sim_loop, scenario, model, ttl=60.0, stale=600.0)


def test_an_estimate_counts_what_is_not_fresh_any_more(sim_loop: SimLoop) -> None:
    async def scenario(client: ChatClient) -> None:
        await client.complete("Hello")
        await asyncio.sleep(50)
        assert (await client.estimate(["Hello"])).calls == 0
        await asyncio.sleep(20)
        assert (await client.estimate(["Hello"])).calls == 1

    simulate(sim_loop, scenario, Model(), ttl=60.0, stale=600.0)


@pytest.mark.parametrize(
    ("in_peace", "seconds", "kept", "after"),
    [(True, 8.0, True, 3.0), (True, 30.0, False, 5.0), (False, 8.0, False, 0.0)],
)
def test_a_new_reply_on_its_way_is_waited_for_a_moment_but_not_after_an_error(
    sim_loop: SimLoop, in_peace: bool, seconds: float, kept: bool, after: float
) -> None:
    model = Model()

    async def scenario(outer: ChatClient) -> None:
        client = ChatClient(MODEL, transport=model, manager=outer.manager, ttl=60.0, stale=600.0, max_concurrency=1)
        with contextlib.nullcontext() if in_peace else pytest.raises(LookupError):
            async with client:
                await client.complete("one")
                await client.complete("two")
                await asyncio.sleep(70)
                model.seconds = seconds
                assert (await client.complete("one")).cached
                assert (await client.complete("two")).cached
                await asyncio.sleep(5)
                if not in_peace:
                    raise LookupError
        # What was not sent yet is not sent any more.
        assert (client.statistics().calls, client.statistics().guessed_usd > 0) == (3, not kept)
        assert sim_loop.time() == pytest.approx(77.0 + after, abs=0.5)

    simulate(sim_loop, scenario, Model())


def test_new_replies_on_their_way_are_waited_for_while_they_come(sim_loop: SimLoop) -> None:
    model = Model()

    async def scenario(outer: ChatClient) -> None:
        client = ChatClient(MODEL, transport=model, manager=outer.manager, ttl=60.0, stale=600.0, max_concurrency=8)
        async with client:
            for number in range(4):
                await client.complete(f"{number}")
            await asyncio.sleep(70)
            model.seconds = 16.0
            for number in range(4):
                await client.complete(f"{number}")
                await asyncio.sleep(4)
            left = sim_loop.time()
        assert client.statistics().guessed_usd == 0
        assert sim_loop.time() == pytest.approx(left + 12.0, abs=0.5)

    simulate(sim_loop, scenario, Model())


@pytest.mark.parametrize("hangs", [True, False])
def test_in_an_outage_stale_replies_are_given_without_end_and_leave_little_behind(
    sim_loop: SimLoop, monkeypatch: pytest.MonkeyPatch, hangs: bool
) -> None:
    monkeypatch.setattr("tenire.llm.session._MOST_IN_BACKGROUND", 10)
    model = Model()

    async def scenario(outer: ChatClient) -> None:
        client = ChatClient(MODEL, transport=model, manager=outer.manager, ttl=60.0, stale=6000.0, max_concurrency=8)
        async with client:
            prompts = [f"{number}" for number in range(20)]
            for prompt in prompts:
                await client.complete(prompt)
            await asyncio.sleep(70)
            if hangs:
                model.seconds = 1e6
            else:
                model.failures = unreachable(100_000)
            most = 0
            for _ in range(50):
                for prompt in (*prompts[:5], *prompts[:5], *prompts):
                    assert (await client.complete(prompt)).cached
                most = max(most, sum(task.get_name() == "a new reply" for task in asyncio.all_tasks()))
                await asyncio.sleep(1)
            assert most == 10
            left = sim_loop.time()
        assert sim_loop.time() - left <= 5.5

    simulate(sim_loop, scenario, Model())


def test_a_new_reply_is_fetched_once_however_often_the_old_one_is_given(sim_loop: SimLoop) -> None:
    model = Model(seconds=20.0)

    async def scenario(client: ChatClient) -> None:
        await client.complete("Hello")
        await asyncio.sleep(70)
        for _ in range(100):
            assert (await client.complete("Hello")).cached
        await asyncio.sleep(0)
        assert sum(task.get_name() == "a new reply" for task in asyncio.all_tasks()) == 1
        await asyncio.sleep(25)
        assert len(model.requests) == 2

    simulate(sim_loop, scenario, model, ttl=60.0, stale=600.0)


def test_clients_of_one_engine_and_one_key_share_the_quota() -> None:
    async def main() -> None:
        async with ConcurrencyManager(cpu=1, memory=100) as manager:
            options: dict[str, Any] = {"base_url": "http://127.0.0.1:9/v1", "manager": manager, "rpm": 100}
            async with (
                ChatClient("a", api_key="key-one", **options) as one,
                ChatClient("b", api_key="key-one", **options) as same,
                ChatClient("a", api_key="key-two", **options) as other,
            ):
                assert one._open().quota is same._open().quota
                assert one._open().quota is not other._open().quota

    asyncio.run(main())


def test_a_client_that_is_not_open_says_so() -> None:
    client = ChatClient(MODEL, transport=Model())
    with pytest.raises(RejectedError, match="async with ChatClient"):
        client.map(["Hello"])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"timeout": 0}, "timeout must be"),
        ({"ttl": -1}, "ttl must be"),
        ({"stale": float("inf")}, "stale must be"),
        ({"stale": 60.0}, "stale goes with ttl, without which no kept reply grows stale, got stale=60 alone"),
        ({"cache": "yes"}, "cache must be True or False"),
        ({"price": 0.5}, "price must be a tenire.llm.Price"),
        ({"price": {}}, "price must be a tenire.llm.Price"),
        ({"memory_bytes": 0}, "memory_bytes must be"),
        ({"rpm": 0}, "rpm must be a number from 1"),
        ({"output_tpm": "many"}, "output_tpm must be a number from 1"),
        ({"pipeline": ""}, "pipeline must be a name"),
        ({"fallback": [7]}, "fallback must be names of models"),
        ({"fallback": "gpt-4o"}, "fallback must be a list"),
        ({"priority": "soon"}, "priority must be one of"),
        ({"max_output_tokens": 0}, "max_output_tokens must be"),
        ({"parameters": "hot"}, "parameters must be names and values"),
        ({"quota": object(), "rpm": 5}, "quota stands in place of rpm"),
        ({"books": object(), "home": "x"}, "books stand in place of home"),
        ({"parameters": {"temperature": float("nan")}}, "'temperature' must be a finite number, got nan"),
        ({"base_url": "http://h/v1"}, r"transport=Model\(…\) and base_url"),
        ({"api_key": "k", "headers": {"a": "b"}}, r"got transport=Model\(…\) and api_key, headers"),
        ({"dialect": "anthropic"}, r"transport=Model\(…\) and dialect"),
        ({"transport": object()}, r"transport must be an openai\.AsyncOpenAI, or .*, got object"),
    ],
)
def test_an_impossible_argument_is_refused_by_name(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        ChatClient(MODEL, **{"transport": Model(), **options})


@pytest.mark.parametrize("home", ["", 5])
def test_a_home_that_is_no_directory_is_refused_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Any
) -> None:
    monkeypatch.chdir(tmp_path)

    async def scenario() -> None:
        with pytest.raises(ConfigError, match="home must be the path of a directory"):
            await ChatClient(MODEL, transport=Model(), home=home).__aenter__()

    asyncio.run(scenario())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("parameters", [5, "hot", {"temperature": float("inf")}])
def test_impossible_parameters_of_a_call_are_refused(sim_loop: SimLoop, parameters: Any) -> None:
    async def scenario(client: ChatClient) -> None:
        with pytest.raises(ConfigError, match="parameter"):
            await client.complete("Hello", parameters=parameters)

    model = Model()
    simulate(sim_loop, scenario, model)
    assert not model.requests


_ASKING = ["complete", "map", "stream", "batch"]
_IMPOSSIBLE = [
    ([*_ASKING, "embed"], {"deadline": 0}, "deadline must be a positive number of seconds"),
    ([*_ASKING, "embed"], {"deadline": -1.5}, "deadline must be"),
    ([*_ASKING, "embed"], {"deadline": float("nan")}, "deadline must be"),
    ([*_ASKING, "embed"], {"deadline": "soon"}, "deadline must be"),
    ([*_ASKING, "embed"], {"priority": "soon"}, "priority must be one of"),
    ([*_ASKING, "embed"], {"pipeline": ""}, "pipeline must be a name"),
    ([*_ASKING, "embed"], {"pipeline": 5}, "pipeline must be a name"),
    ([*_ASKING, "embed"], {"cache": "no"}, "cache must be True or False"),
    (_ASKING, {"max_output_tokens": 0}, "max_output_tokens must be"),
    (_ASKING, {"parameters": "hot"}, "parameters must be names and values"),
]


@pytest.mark.parametrize(
    ("method", "options", "text"),
    [(method, options, text) for methods, options, text in _IMPOSSIBLE for method in methods],
)
def test_an_impossible_argument_of_calls_is_refused_before_any_is_made(
    sim_loop: SimLoop, method: str, options: dict[str, Any], text: str
) -> None:
    async def ask(client: ChatClient) -> None:
        given = {"mode": "auto", **options} if method == "batch" else options
        made = getattr(client, method)("a" if method in ("complete", "stream") else ["a", "b"], **given)
        if method in ("complete", "embed"):
            await made

    async def scenario(client: ChatClient) -> None:
        with pytest.raises(ConfigError, match=text):
            await ask(client)

    model = Model()
    simulate(sim_loop, scenario, model)
    assert not model.requests


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"base_url": 5}, "base_url must be the address"),
        ({"base_url": ""}, "base_url must be the address"),
        ({"api_key": 5}, "the API key must be a text, got a int"),
    ],
)
def test_an_impossible_provider_is_refused_by_name(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        ChatClient(MODEL, **options)


@pytest.mark.parametrize("name", ["ChatClient", "HttpTransport"])
def test_without_aiohttp_the_extra_to_install_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    for module in ("transport", "connection_errors", "http_library"):
        monkeypatch.delitem(sys.modules, f"tenire.llm.{module}", raising=False)
    monkeypatch.delitem(vars(llm), name, raising=False)
    with pytest.raises(MissingExtraError, match="calling a model over HTTP needs aiohttp") as caught:
        getattr(llm, name)(MODEL)
    assert (caught.value.extra, caught.value.hint) == ("llm", 'run: pip install "tenire[llm]"')


def test_who_says_twice_where_calls_go_is_told_what_to_leave_out() -> None:
    with pytest.raises(ConfigError) as caught:
        ChatClient(MODEL, transport=Model(), base_url="http://h/v1", api_key="secret")
    assert caught.value.key == "base_url"
    assert caught.value.hint == (
        "leave out base_url and api_key, which what you pass as transport has itself, or leave out transport"
    )
    assert "secret" not in str(caught.value)
    assert ChatClient(MODEL, transport=Model(), dialect="auto")


def test_no_calls_at_once_is_impossible(sim_loop: SimLoop) -> None:
    async def scenario(client: ChatClient) -> None:
        with pytest.raises(ConfigError, match="max_concurrency must be"):
            await ChatClient(MODEL, transport=Model(), manager=client.manager, max_concurrency=0).__aenter__()

    simulate(sim_loop, scenario, Model())


@pytest.mark.parametrize("prompt", [7, b"x", [], ["x"], [{"content": "no role"}], None])
def test_an_impossible_prompt_is_refused_without_quoting_it(sim_loop: SimLoop, prompt: Any) -> None:
    async def scenario(client: ChatClient) -> None:
        with pytest.raises(ConfigError, match="a prompt must be a string") as caught:
            await client.complete(prompt)
        assert "no role" not in str(caught.value)

    simulate(sim_loop, scenario, Model())


@pytest.mark.parametrize("number", [0, -1, 1.5, True])
def test_an_impossible_number_of_tokens_is_refused(sim_loop: SimLoop, number: Any) -> None:
    async def scenario(client: ChatClient) -> None:
        with pytest.raises(ConfigError, match="max_output_tokens"):
            await client.complete("Hello", max_output_tokens=number)

    simulate(sim_loop, scenario, Model())


def test_a_client_that_is_closed_makes_no_calls_and_tells_what_it_did() -> None:
    async def main() -> None:
        async with ChatClient(MODEL, transport=Model(seconds=0)) as client:
            await client.complete("Hello")
        with pytest.raises(RejectedError, match="the client is closed"):
            await client.complete("Hello")
        assert client.statistics().calls == 1

    asyncio.run(main())


def test_an_engine_of_its_own_starts_and_ends_with_the_client() -> None:
    async def main() -> str:
        async with ChatClient(MODEL, transport=Model(seconds=0)) as client:
            manager = client.manager
            text = (await client.complete("Hello")).text
        assert manager.orchestrator.closed
        return text

    assert asyncio.run(main()) == "re: Hello"


def test_an_engine_of_another_process_is_never_taken_for_this_one() -> None:
    one, other = find_way("m", Model(), None), find_way("m", Model(), None)
    assert one.who != other.who
    assert str(os.getpid()) in one.who
    assert one.service == "Model"


def test_servers_that_come_and_go_on_this_machine_are_one_service_and_each_key_is_somebody() -> None:
    ways = [
        find_way("m", None, url, api_key=key)
        for url, key in (
            ("http://127.0.0.1:32768/v1", "key-one"), ("http://localhost:60001/v1", "key-one"),
            ("https://api.example.com/v1", "key-one"), ("https://api.example.com/v1", "key-two"),
        )
    ]  # fmt: skip
    assert [way.service for way in ways] == ["this machine", "this machine", "api.example.com", "api.example.com"]
    assert len({way.who for way in ways}) == 4
    assert not any("key-" in way.who for way in ways)


@pytest.mark.parametrize(
    ("url", "service"),
    [
        ("http://127.0.0.1:11434/v1", "this machine, port 11434"),
        ("http://LOCALHOST:11434/v1/", "this machine, port 11434"),
        ("http://[::1]:11434/v1/chat/completions", "this machine, port 11434"),
        ("http://127.0.0.1:8000/v1", "this machine, port 8000"),
        ("http://127.0.0.1:8000/other/v1", "this machine, port 8000, other"),
        ("http://127.0.0.1/v1", "this machine, port 80"),
        ("https://localhost/v1", "this machine, port 443"),
        ("http://127.0.0.1:32767", "this machine, port 32767"),
        ("http://127.0.0.1:32768", "this machine"),
        ("https://API.example.com:8443/v1", "api.example.com, port 8443"),
        ("https://API.example.com:443/v1", "api.example.com"),
        ("http://gpu-box:8000/v1", "gpu-box, port 8000"),
        ("http://gpu-box:8001/v1", "gpu-box, port 8001"),
        ("https://llm.corp/llama/v1", "llm.corp, llama"),
        ("https://llm.corp/mistral/v1", "llm.corp, mistral"),
    ],
)
def test_servers_at_ports_of_their_own_are_services_of_their_own(url: str, service: str) -> None:
    assert find_way("m", None, url).service == service


@pytest.mark.parametrize("kept", [False, True])
def test_two_servers_of_this_machine_do_not_answer_for_each_other(tmp_path: Path, kept: bool) -> None:
    class Server(Model):
        def __init__(self, port: int) -> None:
            super().__init__(seconds=0, answer=f"{port} says {{}}".format)
            self.identity = f"http://127.0.0.1:{port}/v1", f"somebody at {port}"

    async def ask(server: Server) -> str:
        async with ChatClient(MODEL, transport=server, home=tmp_path) as client:
            return (await client.complete("Hello")).text

    ports = (40_001, 40_002) if kept else (8000, 11434)
    first, second = (asyncio.run(ask(Server(port))) for port in ports)
    assert first == f"{ports[0]} says Hello"
    assert second == f"{ports[0 if kept else 1]} says Hello"


def test_the_local_model_is_asked_for_by_its_name_alone(tmp_path: Path) -> None:
    way = find_way("local", None, None)
    assert (way.service, way.slots) == ("this machine", 2)

    async def main() -> None:
        with pytest.raises(ConfigError, match="there is none"):
            await ChatClient(f"local:{tmp_path}/missing.gguf", budget_usd=1.0).__aenter__()

    asyncio.run(main())


def test_a_schema_that_refers_to_nothing_is_refused_before_anything_is_sent(sim_loop: SimLoop) -> None:
    model = Model()

    async def scenario(client: ChatClient) -> None:
        with pytest.raises(ConfigError, match=r"it refers to '#/\$defs/none', which it does not hold"):
            await client.complete("Hello", schema={"type": "object", "properties": {"a": {"$ref": "#/$defs/none"}}})
        assert client.statistics().calls == 0

    simulate(sim_loop, scenario, model)
    assert not model.requests


class Asleep(Model):
    """A model that can be called only after a while."""

    @asynccontextmanager
    async def ready(self, urgency: Urgency, pipeline: str) -> AsyncIterator[None]:
        await asyncio.sleep(300)
        yield


def test_a_model_that_is_not_ready_yet_is_waited_for_without_a_slot_and_outside_of_the_timeout(
    sim_loop: SimLoop,
) -> None:
    model = Asleep()

    async def scenario(client: ChatClient) -> None:
        call = asyncio.get_running_loop().create_task(client.complete("Hello"))
        await asyncio.sleep(200)
        assert client.statistics().quota.in_flight == 0
        assert (await call).text == "re: Hello"

    simulate(sim_loop, scenario, model, timeout=5.0, max_concurrency=1)
    assert len(model.requests) == 1
    assert model.times[0] >= 300

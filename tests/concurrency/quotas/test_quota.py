"""A quota as calls see it: what they wait for, what they give back, and what it says of itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tenire import ConcurrencyManager, ConfigError, Priority
from tenire.concurrency.quotas import Quota
from tenire.core.quota_meter import QuotaMeter
from tenire.core.rate_report import MetricReport, RateReport
from tenire.errors import RejectedError
from tenire.testing import cancel_sweep

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenire.testing import SimLoop


def simulate(loop: SimLoop, scenario: Callable[[ConcurrencyManager], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with ConcurrencyManager(cpu=2, memory=100, seed=0, clock=loop.clock) as manager:
            outcome = await scenario(manager)
            assert not manager.orchestrator.permits
            manager.orchestrator.take_in_ended()
            manager.orchestrator.scheduler.check([])
        return outcome

    return loop.run_until_complete(main())


async def call(quota: Quota, seconds: float = 1.0, **needs: Any) -> float:
    """Make a call; return when it was sent."""
    async with quota.permit(**needs) as grant:
        quota.sent(grant)
        at = asyncio.get_running_loop().time()
        await asyncio.sleep(seconds)
        quota.ended(grant, ok=True)
    return at


async def calls(quota: Quota, number: int, **needs: Any) -> list[float]:
    """Make many at once; return when they were sent, in order."""
    async with asyncio.TaskGroup() as group:
        made = [group.create_task(call(quota, **needs)) for _ in range(number)]
    return sorted(one.result() for one in made)


def test_calls_are_sent_as_the_quota_allows(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> list[float]:
        quota = Quota(manager.orchestrator, "main", requests=60, tokens=100_000, max_concurrency=50)
        return await calls(quota, 120, tokens=900)

    times = simulate(sim_loop, scenario)
    assert all(later - earlier >= 60.5 for earlier, later in zip(times, times[60:], strict=False))
    assert times[-1] - times[0] <= 118.0


def test_tokens_limit_as_calls_do(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> list[float]:
        quota = Quota(manager.orchestrator, "main", requests=1000, tokens=10_000, max_concurrency=50)
        return await calls(quota, 20, input_tokens=900, output_tokens=100)

    times = simulate(sim_loop, scenario)
    assert times[10] - times[0] >= 60.5
    assert times[9] - times[0] < 60.5


def test_no_more_calls_are_in_flight_than_there_are_slots(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> int:
        quota = Quota(manager.orchestrator, "main", max_concurrency=3)
        most = 0

        async def one() -> None:
            nonlocal most
            async with quota.permit() as grant:
                quota.sent(grant)
                most = max(most, quota.statistics().in_flight)
                await asyncio.sleep(1)

        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(one())
        assert quota.statistics().in_flight == quota.statistics().waiting == 0
        assert quota.statistics().granted == 10
        return most

    assert simulate(sim_loop, scenario) == 3


def test_without_a_number_of_slots_they_are_found_out(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> tuple[int, int, int]:
        quota = Quota(manager.orchestrator, "main")
        first = quota.statistics().slots
        await calls(quota, 600)
        grown = quota.statistics().slots
        for _ in range(3):
            async with quota.permit() as grant:
                quota.sent(grant)
                quota.ended(grant, ok=False)
            await calls(quota, 3)
        return first, grown, quota.statistics().slots

    first, grown, cut = simulate(sim_loop, scenario)
    assert first == 4
    assert grown > 6
    assert cut < grown


def test_what_was_granted_but_not_sent_is_given_back(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        quota = Quota(manager.orchestrator, "main", requests=10, tokens=1000)
        async with quota.permit(tokens=800) as grant:
            assert grant.amounts == {"requests": 1, "tokens": 800}
            assert repr(grant) == "<Grant of 1 requests, 800 tokens>"
            metrics = quota.statistics().metrics
            assert (metrics["tokens"].spent, metrics["tokens"].held) == (800, 800)
        metrics = quota.statistics().metrics
        assert (metrics["tokens"].spent, metrics["tokens"].held, metrics["requests"].spent) == (0, 0, 0)

    simulate(sim_loop, scenario)


def test_what_was_sent_counts_from_the_sending_on(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        quota = Quota(manager.orchestrator, "main", requests=10, tokens=1000)
        async with quota.permit(tokens=800) as grant:
            await asyncio.sleep(100.0)
            quota.sent(grant)
            await asyncio.sleep(30.0)
            quota.sent(grant)  # again: it counts once
        assert quota.statistics().metrics["tokens"].spent == 800
        await asyncio.sleep(30.4)
        assert quota.statistics().metrics["tokens"].spent == 800
        await asyncio.sleep(0.2)
        assert quota.statistics().metrics["tokens"].spent == 0

    simulate(sim_loop, scenario)


def test_output_that_was_not_used_is_given_back_where_the_server_counts_what_was(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        quota = Quota(manager.orchestrator, "main", requests=10, input_tokens=1000, output_tokens=1000)
        assert "tokens" not in quota.statistics().metrics
        async with quota.permit(input_tokens=300, output_tokens=800) as grant:
            quota.sent(grant)
            metrics = quota.statistics().metrics
            assert (metrics["input_tokens"].held, metrics["output_tokens"].held) == (0, 800)
            await asyncio.sleep(90.0)
            assert quota.statistics().metrics["output_tokens"].spent == 800, "for as long as it may be used"
            quota.settle(grant, input_tokens=310, output_tokens=50)
        metrics = quota.statistics().metrics
        assert (metrics["output_tokens"].spent, metrics["output_tokens"].held) == (50, 0)
        assert metrics["input_tokens"].spent == 10, "more than was estimated; the estimate has aged"
        async with quota.permit(input_tokens=1, output_tokens=800) as grant:
            quota.sent(grant)
        assert quota.statistics().metrics["output_tokens"].spent == 850, "nobody said how much was used"

    simulate(sim_loop, scenario)


@pytest.mark.parametrize(
    ("asked", "spent"),
    [
        ({"input_tokens": 100, "output_tokens": 800}, 890),  # the prompt was shorter than thought
        ({"tokens": 900}, 900),  # what of it is output nobody said
    ],
)
def test_where_the_most_is_counted_only_a_shorter_prompt_is_given_back(
    sim_loop: SimLoop, asked: dict[str, int], spent: int
) -> None:
    async def scenario(manager: ConcurrencyManager) -> list[int]:
        quota = Quota(manager.orchestrator, "main", tokens=1000)
        seen = []
        async with quota.permit(**asked) as grant:
            quota.sent(grant)
            await asyncio.sleep(30.0)
            quota.settle(grant, tokens=150, input_tokens=90, output_tokens=60)
            seen.append(quota.statistics().metrics["tokens"].spent)
        await asyncio.sleep(30.6)
        return [*seen, quota.statistics().metrics["tokens"].spent]

    assert simulate(sim_loop, scenario) == [spent, 0], "it counts from when it was sent"


def test_prompts_taken_for_longer_than_they_are_slow_nothing_down(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> int:
        quota = Quota(manager.orchestrator, "main", tokens=10_000, max_concurrency=8)
        until = manager.orchestrator.now() + 180.0

        async def ask() -> int:
            done = 0
            while manager.orchestrator.now() < until:
                async with quota.permit(input_tokens=120, output_tokens=20) as grant:
                    quota.sent(grant)
                    await asyncio.sleep(0.5)
                    quota.settle(grant, tokens=110, input_tokens=90, output_tokens=20)
                    done += 110
            return done

        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(ask()) for _ in range(8)]
        return sum(task.result() for task in asking)

    spent = simulate(sim_loop, scenario)
    assert 0.97 * 30_000 <= spent <= 31_000  # of three windows, and what is sent at once in the beginning


def test_a_call_larger_than_the_limit_is_refused_with_the_numbers(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        quota = Quota(manager.orchestrator, "main", tokens=10_000)
        with pytest.raises(
            RejectedError, match=r"up to 12,000 tokens can never be sent.*'main' is 10,000 in 60 s \(declared\)"
        ):
            quota.permit(input_tokens=11_000, output_tokens=1000)
        assert quota.needs(tokens=10_000).other == {"main/requests": 1, "main/tokens": 10_000, "main/slots": 1}
        quota.observe(RateReport({"tokens": MetricReport(limit=5000)}))
        with pytest.raises(RejectedError, match=r"5,000 in 60 s \(announced\)") as caught:
            quota.needs(tokens=10_000)
        assert "shorten the prompt" in (caught.value.hint or "")

    simulate(sim_loop, scenario)


def test_a_waiting_call_that_a_lower_limit_makes_impossible_is_refused(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        quota = Quota(manager.orchestrator, "main", tokens=10_000, max_concurrency=9)
        await call(quota, tokens=9000)
        large = asyncio.create_task(call(quota, tokens=8000))
        small = asyncio.create_task(call(quota, tokens=4000))
        await asyncio.sleep(1.0)
        assert quota.statistics().waiting == 2
        quota.change(tokens=5000)
        with pytest.raises(RejectedError, match=r"up to 8,000 tokens can never be sent: .* 5,000 in 60 s"):
            await large
        assert await small > 55.0
        assert quota.statistics().waiting == 0
        quota.change(tokens=None, requests=7)
        metrics = quota.statistics().metrics
        assert (metrics["tokens"].limit, metrics["requests"].limit) == (None, 7)
        with pytest.raises(ConfigError, match="does not count 'pages'"):
            quota.change(pages=5)
        with pytest.raises(ConfigError, match="tokens must be a number from 1"):
            quota.change(requests=9, tokens=0)
        assert quota.statistics().metrics["requests"].limit == 7, "all or nothing"

    simulate(sim_loop, scenario)


def test_what_others_use_is_left_to_them(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        quota = Quota(manager.orchestrator, "main", tokens=10_000, max_concurrency=9)
        async with quota.permit(tokens=1000) as grant:
            quota.sent(grant)
            quota.observe(RateReport({"tokens": MetricReport(limit=10_000, remaining=5000)}), grant)
        assert quota.statistics().metrics["tokens"].limit == 10_000 - 4000 - 200

    simulate(sim_loop, scenario)


def test_what_was_sent_after_a_call_and_is_in_its_reply_is_no_news(
    sim_loop: SimLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    news: list[MetricReport] = []
    observe = QuotaMeter.observe

    def note(meter: QuotaMeter, said: MetricReport, *rest: Any) -> None:
        news.append(said)
        observe(meter, said, *rest)

    monkeypatch.setattr(QuotaMeter, "observe", note)

    async def scenario(manager: ConcurrencyManager) -> None:
        quota = Quota(manager.orchestrator, "main", requests=6000, max_concurrency=9)

        async def first() -> None:
            async with quota.permit() as grant:
                quota.sent(grant)
                await asyncio.sleep(0.1)
                for remaining in (5999, 5998, 5997):  # the second one counts, too; the third is somebody else's
                    said = RateReport({"requests": MetricReport(limit=6000, remaining=remaining)})
                    quota.observe(said, grant)

        async with asyncio.TaskGroup() as group:
            group.create_task(first())
            await asyncio.sleep(0.05)
            group.create_task(call(quota))

    simulate(sim_loop, scenario)
    assert [said.remaining for said in news] == [5999, 5997], "of the first it is new what the limit is"


@pytest.mark.parametrize("counts", ["reserved", "real"])
def test_what_a_call_used_beyond_its_estimate_is_not_taken_for_that_of_others(sim_loop: SimLoop, counts: str) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        refunded = ("tokens",) if counts == "real" else ()
        quota = Quota(manager.orchestrator, "main", tokens=10_000, max_concurrency=9, refunded=refunded)
        await call(quota, input_tokens=5000)
        await asyncio.sleep(59.0)
        async with quota.permit(input_tokens=900, output_tokens=100) as grant:
            quota.sent(grant)
            await asyncio.sleep(1.0)  # the first call counted when this one came, and counts no longer
            said = RateReport({"tokens": MetricReport(limit=10_000, remaining=10_000 - 5000 - 1005)})
            quota.settle(grant, tokens=1005, input_tokens=905, output_tokens=100, report=said)
            metric = quota.statistics().metrics["tokens"]
            assert (metric.limit, metric.spent) == (10_000, 1005)
        async with quota.permit(input_tokens=900, output_tokens=100) as grant:
            quota.sent(grant)
            said = RateReport({"tokens": MetricReport(limit=10_000, remaining=7000)})
            quota.settle(grant, tokens=1000, input_tokens=900, output_tokens=100, report=said)
            assert quota.statistics().metrics["tokens"].limit == 10_000 - 995 - 50, "that was others"

    simulate(sim_loop, scenario)


def test_of_a_call_that_took_long_what_was_sent_before_it_is_not_taken_for_that_of_others(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        quota = Quota(manager.orchestrator, "main", tokens=10_000, max_concurrency=9)
        await call(quota, tokens=5000)
        async with quota.permit(tokens=1000) as grant:
            quota.sent(grant)
            await asyncio.sleep(70.0)  # the server counted both when it came, and says so only now
            quota.observe(RateReport({"tokens": MetricReport(limit=10_000, remaining=4000)}), grant)
        assert quota.statistics().metrics["tokens"].limit == 10_000

    simulate(sim_loop, scenario)


@pytest.mark.parametrize(("renewed", "sent_at"), [(500, 0.0), (700, 60.5)])
def test_a_waiting_call_keeps_its_place_when_more_is_known_of_it(
    sim_loop: SimLoop, renewed: int, sent_at: float
) -> None:
    async def scenario(manager: ConcurrencyManager) -> tuple[float, float, float]:
        quota = Quota(manager.orchestrator, "main", tokens=1000, max_concurrency=9, meter_jitter=0.5)
        start = asyncio.get_running_loop().time()
        permit = quota.permit(input_tokens=800, output_tokens=100)

        async def second() -> float:
            async with permit as grant:
                quota.sent(grant)
                assert grant.amounts["tokens"] == renewed
                assert grant.output_tokens == 100
                return asyncio.get_running_loop().time() - start

        async with asyncio.TaskGroup() as group:
            first = group.create_task(call(quota, 0.0, tokens=500))
            waits = group.create_task(second())
            await asyncio.sleep(0)
            third = group.create_task(call(quota, 0.0, tokens=900))
            await asyncio.sleep(0)
            quota.renew(permit, input_tokens=renewed - 100, output_tokens=100)
        return first.result() - start, waits.result(), third.result() - start

    first, second, third = simulate(sim_loop, scenario)
    assert first == 0.0
    assert sent_at <= second <= sent_at + 3.0  # it is paced
    assert third > second


def test_calls_that_needed_the_same_are_told_apart_when_one_is_renewed(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> list[float]:
        quota = Quota(manager.orchestrator, "main", tokens=1000, max_concurrency=9)
        start = asyncio.get_running_loop().time()
        permits = [quota.permit(input_tokens=500) for _ in range(2)]

        async def sent(permit: Any) -> float:
            async with permit as grant:
                quota.sent(grant)
                return asyncio.get_running_loop().time() - start

        async with asyncio.TaskGroup() as group:
            group.create_task(call(quota, 0.0, tokens=1000))
            await asyncio.sleep(0)
            waiting = [group.create_task(sent(permit)) for permit in permits]
            await asyncio.sleep(0)
            quota.renew(permits[1], input_tokens=600)
        return [one.result() for one in waiting]

    first, second = simulate(sim_loop, scenario)
    assert second >= first + 60.0


def test_a_waiting_call_that_turns_out_too_large_is_refused(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        quota = Quota(manager.orchestrator, "main", tokens=1000, max_concurrency=9)
        permit = quota.permit(input_tokens=900)

        async def waits() -> None:
            with pytest.raises(RejectedError, match=r"a call of up to 1,001 tokens can never be sent"):
                async with permit:
                    pytest.fail("it was let in")

        await call(quota, tokens=500)
        async with asyncio.TaskGroup() as group:
            group.create_task(waits())
            await asyncio.sleep(0)
            quota.renew(permit, input_tokens=1001)

    simulate(sim_loop, scenario)


def test_a_call_that_does_not_wait_is_not_renewed(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        quota = Quota(manager.orchestrator, "main", tokens=1000, max_concurrency=9)
        permit = quota.permit(input_tokens=900)
        quota.renew(permit, input_tokens=100)
        async with permit as grant:
            quota.renew(permit, input_tokens=100)
            quota.renew(permit, input_tokens=2000)
            assert grant.amounts["tokens"] == permit.amounts["tokens"] == 900

    simulate(sim_loop, scenario)


@pytest.mark.parametrize(("used", "cut"), [(1, True), (80, False)])
def test_a_refusal_for_a_quota_that_is_used_up_says_nothing_of_the_slots(
    sim_loop: SimLoop, used: int, cut: bool
) -> None:
    async def scenario(manager: ConcurrencyManager) -> bool:
        quota = Quota(manager.orchestrator, "main", requests=100)
        await calls(quota, used)
        before = quota.statistics().slots
        async with quota.permit() as grant:
            quota.sent(grant)
            quota.refused(grant, retry_after=0.1)
            quota.ended(grant, ok=False)
        return quota.statistics().slots < before

    assert simulate(sim_loop, scenario) is cut


def test_a_refusal_is_charged_to_the_metric_that_the_server_names(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> list[float]:
        quota = Quota(manager.orchestrator, "main", requests=100, tokens=10_000)
        async with quota.permit(tokens=1000) as grant:
            quota.sent(grant)
            report = RateReport({"tokens": MetricReport(limit=10_000, remaining=10), "requests": MetricReport()})
            quota.refused(grant, 3.0, report)
        async with quota.permit(tokens=1000) as grant:
            quota.sent(grant)
            quota.refused(grant)
        metrics = quota.statistics().metrics
        return [metrics["requests"].margin, metrics["tokens"].margin]

    assert simulate(sim_loop, scenario) == [0.5, 1.0]


def test_of_what_is_declared_and_what_is_announced_the_smaller_holds(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> list[tuple[int | None, str]]:
        quota = Quota(manager.orchestrator, "main", requests=100)

        def said() -> list[tuple[int | None, str]]:
            metrics = quota.statistics().metrics
            return [(metrics[name].limit, metrics[name].source) for name in ("requests", "tokens")]

        found = said()
        quota.observe(RateReport({"requests": MetricReport(limit=500), "tokens": MetricReport(limit=7000)}))
        found += said()
        quota.observe(RateReport({"requests": MetricReport(limit=50), "tokens": MetricReport(limit=-1)}))
        found += said()
        quota.observe(RateReport({"input_tokens": MetricReport(), "tokens": MetricReport(limit=0)}))
        return found + said()

    assert simulate(sim_loop, scenario) == [
        (100, "declared"), (None, "unknown"),
        (100, "declared"), (7000, "announced"),
        (50, "announced"), (7000, "announced"),
        (50, "announced"), (7000, "announced"),
    ]  # fmt: skip


def test_nothing_is_sent_until_the_server_takes_calls_again(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        quota = Quota(manager.orchestrator, "main", requests=600)
        loop = asyncio.get_running_loop()
        async with quota.permit() as grant:
            quota.sent(grant)
            quota.refused(grant, retry_after=7.0)
            quota.ended(grant, ok=False)
        began = loop.time()
        assert quota.statistics().frozen_for == 7.0
        assert quota.statistics().refused == 1
        assert await call(quota) == pytest.approx(began + 7.0)
        assert quota.statistics().frozen_for == 0.0

    simulate(sim_loop, scenario)


@pytest.mark.parametrize("requests", [600, None])
def test_after_a_few_refusals_at_its_start_it_is_not_slow_for_ever(sim_loop: SimLoop, requests: int | None) -> None:
    refused = 3

    async def scenario(manager: ConcurrencyManager) -> list[float]:
        quota = Quota(manager.orchestrator, "main", requests=requests)
        now, sent = asyncio.get_running_loop().time, list[float]()

        async def keep_calling() -> None:
            while now() < 600.0:
                async with quota.permit(tokens=13) as grant:
                    quota.sent(grant)
                    sent.append(now())
                    taken = len(sent) > refused
                    await asyncio.sleep(0.2)
                    if not taken:
                        quota.refused(grant)
                    quota.ended(grant, ok=taken)

        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(keep_calling())
        return sent

    sent = simulate(sim_loop, scenario)
    assert sum(540.0 <= at < 600.0 for at in sent) > 500


@pytest.mark.parametrize("requests", [600, None])
def test_a_minute_that_others_had_used_up_teaches_nothing(sim_loop: SimLoop, requests: int | None) -> None:
    async def scenario(manager: ConcurrencyManager) -> list[float]:
        quota = Quota(manager.orchestrator, "main", requests=requests)
        now, accepted = asyncio.get_running_loop().time, list[float]()

        async def keep_calling() -> None:
            while now() < 180.0:
                async with quota.permit(tokens=700) as grant:
                    quota.sent(grant)
                    await asyncio.sleep(0.2)
                    if now() < 45.0:
                        quota.refused(grant, 20.0)
                    else:
                        accepted.append(now())
                    quota.ended(grant, ok=now() >= 45.0)

        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(keep_calling())
        return accepted

    accepted = simulate(sim_loop, scenario)
    assert sum(120.0 <= at < 180.0 for at in accepted) > 500


def test_it_is_told_what_a_call_waits_for(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> list[str]:
        quota = Quota(manager.orchestrator, "main", requests=1, max_concurrency=5)
        await call(quota)
        waiting = asyncio.create_task(call(quota))
        await asyncio.sleep(0.1)
        assert quota.statistics().waiting == 1
        [permit] = manager.orchestrator.scheduler.shares.pipeline("default").queue.all()
        explanation: Any = permit
        text = explanation.explain()
        waiting.cancel()
        return [text.gate, text.reason]

    gate, text = simulate(sim_loop, scenario)
    assert gate == "quota"
    assert "main/requests" in text


def test_urgent_calls_go_first(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> bool:
        quota = Quota(manager.orchestrator, "main", tokens=30_000, max_concurrency=64)
        bulk = asyncio.create_task(calls(quota, 100, tokens=3000))
        await asyncio.sleep(30)
        before = quota.statistics().granted
        await call(quota, tokens=1000, priority=Priority.HIGH)
        after = quota.statistics().granted
        bulk.cancel()
        await asyncio.wait([bulk])
        return after - before <= 1 + 2

    assert simulate(sim_loop, scenario)


def test_nothing_is_lost_wherever_a_call_is_cancelled() -> None:
    quotas: list[Quota] = []

    async def scenario() -> None:
        clock = asyncio.get_running_loop().clock  # type: ignore[attr-defined]
        async with ConcurrencyManager(cpu=2, memory=100, seed=0, clock=clock) as manager:
            quota = Quota(manager.orchestrator, "main", requests=1000, tokens=100_000, max_concurrency=1)
            quotas.append(quota)
            async with asyncio.TaskGroup() as group:
                group.create_task(_unsent(quota))
                await asyncio.sleep(0)
                await _unsent(quota)

    def check() -> None:
        while quotas:  # none yet, if it was cancelled while the engine started
            statistics = quotas.pop().statistics()
            assert statistics.metrics["tokens"].spent == statistics.metrics["requests"].spent == 0
            assert statistics.in_flight == statistics.waiting == 0

    assert cancel_sweep(scenario, check=check).runs >= 4


async def _unsent(quota: Quota) -> None:
    async with quota.permit(tokens=400):
        await asyncio.sleep(1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"requests": 0}, "requests must be a number from 1"),
        ({"tokens": 1.5}, "tokens must be a whole number"),
        ({"window": 0}, "window must be a number from 0.001"),
        ({"max_concurrency": 0}, "max_concurrency must be a number from 1"),
        ({"meter_jitter": -1}, "meter_jitter must be a number from 0"),
    ],
)
def test_impossible_figures_are_refused(sim_loop: SimLoop, arguments: dict[str, Any], message: str) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        with pytest.raises(ConfigError, match=message):
            Quota(manager.orchestrator, "main", **arguments)
        Quota(manager.orchestrator, "main", requests=5)
        with pytest.raises(ConfigError, match="there is a quota called 'main' already"):
            Quota(manager.orchestrator, "main")

    simulate(sim_loop, scenario)

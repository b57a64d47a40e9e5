"""How the output of calls counts: as it was reserved, or as replies had it, from when it is known."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tenire import ConcurrencyManager
from tenire.concurrency.quotas import Quota

if TYPE_CHECKING:
    from tenire.testing import SimLoop

REAL = ("tokens", "output_tokens")


def spent(quota: Quota, metric: str = "tokens") -> int:
    return quota.statistics().metrics[metric].spent


def in_engine(loop: SimLoop, scenario: Any, **arguments: Any) -> None:
    async def main() -> None:
        async with ConcurrencyManager(cpu=1, memory=100, seed=0, clock=loop.clock) as manager:
            await scenario(Quota(manager.orchestrator, "main", max_concurrency=8, **arguments))

    loop.run_until_complete(main())


@pytest.mark.parametrize(
    ("used", "counts"),
    [
        ({"tokens": 150, "input_tokens": 90, "output_tokens": 60}, 150),
        ({"tokens": 170, "input_tokens": 110, "output_tokens": 60}, 170),
        ({"tokens": 900, "input_tokens": 90, "output_tokens": 810}, 900),
        ({"tokens": 90, "input_tokens": 90}, 90),
        ({"tokens": 130}, 130),
        ({}, 600),
    ],
)
def test_where_real_output_counts_a_call_counts_as_what_it_was(
    sim_loop: SimLoop, used: dict[str, int], counts: int
) -> None:
    async def scenario(quota: Quota) -> None:
        async with quota.permit(input_tokens=100, output_tokens=500) as grant:
            quota.sent(grant)
            assert grant.held == {"tokens": 500}
            assert spent(quota) == 600
            quota.settle(grant, **used)
        assert spent(quota) == counts
        assert quota.statistics().metrics["tokens"].held == 0

    in_engine(sim_loop, scenario, tokens=10_000, refunded=REAL)


def test_input_counts_from_when_it_is_sent_and_output_from_when_it_is_there(sim_loop: SimLoop) -> None:

    async def scenario(quota: Quota) -> None:
        async with quota.permit(input_tokens=100, output_tokens=500) as grant:
            quota.sent(grant)
            await asyncio.sleep(20.0)
            quota.settle(grant, tokens=160, input_tokens=100, output_tokens=60)
        await asyncio.sleep(41.0)
        assert spent(quota) == 60
        await asyncio.sleep(20.0)
        assert spent(quota) == 0

    in_engine(sim_loop, scenario, tokens=10_000, refunded=REAL)


def test_a_call_that_failed_counts_as_the_most_that_it_could_use(sim_loop: SimLoop) -> None:
    async def scenario(quota: Quota) -> None:
        async with quota.permit(input_tokens=100, output_tokens=500) as grant:
            quota.sent(grant)
        assert spent(quota) == 600
        async with quota.permit(input_tokens=100, output_tokens=500):
            pass
        assert spent(quota) == 600, "what was never sent counts for nothing"

    in_engine(sim_loop, scenario, tokens=10_000, refunded=REAL)


def test_what_turned_out_to_be_reserved_meanwhile_is_not_given_back(sim_loop: SimLoop) -> None:
    async def scenario(quota: Quota) -> None:
        quota._outputs._counts["tokens"].real = True
        assert quota.statistics().real_output == ("tokens",)
        async with quota.permit(input_tokens=100, output_tokens=500) as grant:
            quota.sent(grant)
            quota.refused(grant, 1.0)
            assert quota.statistics().real_output == ()
            quota.settle(grant, tokens=160, input_tokens=100, output_tokens=60)
        assert spent(quota) == 600

    in_engine(sim_loop, scenario, tokens=10_000, refunded=(), watched=REAL)


def test_what_is_found_out_while_a_call_is_under_way_is_for_the_next(sim_loop: SimLoop) -> None:
    async def scenario(quota: Quota) -> None:
        async with quota.permit(input_tokens=100, output_tokens=500) as grant:
            quota.sent(grant)
            quota._outputs._counts["tokens"].real = True
            quota.settle(grant, tokens=160, input_tokens=100, output_tokens=60)
        assert spent(quota) == 600
        async with quota.permit(input_tokens=100, output_tokens=500) as grant:
            quota.sent(grant)
            quota.settle(grant, tokens=160, input_tokens=100, output_tokens=60)
        assert spent(quota) == 760

    in_engine(sim_loop, scenario, tokens=10_000, refunded=(), watched=REAL)


def test_each_call_is_told_of_once(sim_loop: SimLoop) -> None:
    async def scenario(quota: Quota) -> None:
        bounds = quota._outputs._counts["output_tokens"]._bounds
        for fails in (False, True):
            async with quota.permit(input_tokens=100, output_tokens=500) as grant:
                quota.sent(grant)
                quota.sent(grant)
                assert bounds.open == 500
                for _ in range(0 if fails else 2):
                    quota.settle(grant, tokens=160, input_tokens=100, output_tokens=60)
            assert bounds.open == 0

    in_engine(sim_loop, scenario, input_tokens=10_000, output_tokens=10_000, refunded=(), watched=REAL)

"""The adaptive limit against servers of many kinds, in virtual time."""

from __future__ import annotations

import math

import pytest

from tenire.core.concurrency_limit import AdaptiveLimit

from .servers import lognormal, serve


@pytest.mark.parametrize("slots", [2, 12, 60])
@pytest.mark.parametrize("sigma", [0.0, 0.5])
def test_a_server_that_queues_is_used_and_not_flooded(slots: int, sigma: float) -> None:
    run = serve([AdaptiveLimit()], until=400, slots=lambda _: slots, service=lognormal(sigma))
    assert run.throughput(60, 400) >= 0.8 * slots
    assert run.limit(300) == pytest.approx(slots, rel=0.2)


@pytest.mark.parametrize("slots", [2, 12, 60])
def test_a_server_that_refuses_is_used_and_seldom_refuses(slots: int) -> None:
    run = serve([AdaptiveLimit()], until=300, slots=lambda _: slots, service=lognormal(0.5), queue=0)
    assert run.throughput(60, 300) >= 0.88 * slots
    assert run.limit(200) == pytest.approx(slots, rel=0.2)
    assert run.refused() <= 0.07


@pytest.mark.parametrize("queue", [0, 10**9])
@pytest.mark.parametrize(("before", "after"), [(12, 36), (36, 12)])
def test_a_capacity_that_changes_threefold_is_found_within_two_minutes(before: int, after: int, queue: int) -> None:
    run = serve(
        [AdaptiveLimit()],
        until=600,
        slots=lambda now: before if now < 300 else after,
        service=lognormal(0.5),
        queue=queue,
    )
    near = [run.limit(at, at + 10) == pytest.approx(after, rel=0.2) for at in range(300, 420, 10)]
    assert any(near), "within 20 % by then"
    assert run.limit(480) == pytest.approx(after, rel=0.2)
    assert run.refused() <= 0.07


def test_a_server_that_only_became_slower_is_still_used() -> None:
    run = serve(
        [AdaptiveLimit()],
        until=900,
        slots=lambda _: 15,
        service=lambda rng, now: lognormal(0.5, 3.0 if 300 < now < 600 else 1.0)(rng, now),
    )
    assert run.limit(400, 600) > 0.4 * 15
    assert run.limit(800) == pytest.approx(15, rel=0.2)


def test_after_an_outage_the_limit_is_back_within_seconds() -> None:
    run = serve(
        [AdaptiveLimit()],
        until=300,
        slots=lambda _: 20,
        service=lognormal(0.5),
        down=lambda now: 150 <= now < 190,
    )
    assert run.limit(160, 189) <= 4
    assert run.throughput(200, 210) >= 0.8 * 20


def test_an_application_that_asks_little_leaves_the_limit_where_it_was() -> None:
    limit = AdaptiveLimit()
    run = serve(
        [limit],
        until=900,
        slots=lambda _: 15,
        service=lognormal(0.5),
        demand=lambda now: 3 if 300 <= now < 600 else 999,
    )
    quiet = {limit for now, _, limit in run.limits if 305 <= now < 600}
    assert len(quiet) == 1, "what is not used is not tested"
    assert quiet.pop() >= 10
    assert run.throughput(610, 900) >= 0.8 * 15


def test_clients_of_one_server_share_it_and_do_not_run_away() -> None:
    clients = [AdaptiveLimit() for _ in range(3)]
    run = serve(clients, until=600, slots=lambda _: 30, service=lognormal(0.5))
    limits = [run.limit(450, client=client) for client in range(3)]
    assert 0.8 * 30 <= sum(limits) <= 1.4 * 30
    assert run.throughput(60, 600) >= 0.9 * 30


def test_a_client_that_comes_late_gets_a_share_too() -> None:
    clients = [AdaptiveLimit(initial=20), AdaptiveLimit(initial=1)]
    run = serve(clients, until=900, slots=lambda _: 24, service=lognormal(0.5), queue=0)
    assert run.limit(700, client=1) >= 0.2 * 24


def test_the_unit_of_time_does_not_matter() -> None:
    def limits(unit: float) -> list[int]:
        run = serve(
            [AdaptiveLimit()],
            until=200,
            slots=lambda _: 12,
            service=lognormal(0.5),
            queue=10**9,
        )
        replay = AdaptiveLimit()
        tokens = []
        for now, took, _ in sorted((now - took, took, ok) for now, took, ok in run.ends):
            tokens.append((replay.on_start(now * unit, replay.limit), (now + took) * unit))
            replay.on_end(*tokens[-1])
        return [replay.limit]

    assert limits(2.0**-7) == limits(1.0) == limits(2.0**4)


def test_equal_calls_give_equal_limits() -> None:
    runs = [serve([AdaptiveLimit()], until=60, slots=lambda _: 12, service=lognormal(1.0)) for _ in range(2)]
    assert runs[0].limits == runs[1].limits


def test_heavy_tails_and_two_kinds_of_calls_are_no_queue() -> None:
    run = serve([AdaptiveLimit()], until=900, slots=lambda _: 12, service=lognormal(1.0))
    assert run.throughput(60, 900) >= 0.8 * 12
    run = serve(
        [AdaptiveLimit()],
        until=600,
        slots=lambda _: 12,
        service=lambda rng, _now: (4.2 if rng.random() < 0.2 else 0.2) * math.exp(rng.gauss(0.0, 0.1)),
    )
    assert run.throughput(60, 600) >= 0.8 * 12
    assert run.limit(480) == pytest.approx(12, rel=0.25)


def test_calls_that_take_longer_than_the_timeout_by_themselves_do_not_cut() -> None:
    run = serve([AdaptiveLimit()], until=300, slots=lambda _: 40, service=lognormal(1.0), timeout=4.0, seed=3)
    assert 0.01 < run.refused(60) < 0.05, "some calls take that long, however few are in flight"
    assert run.limit(60) >= 0.8 * 40


def test_a_server_that_is_so_flooded_that_all_calls_time_out_recovers() -> None:
    run = serve([AdaptiveLimit(initial=150)], until=300, slots=lambda _: 10, service=lognormal(0.3), timeout=4.0)
    assert run.throughput(60, 300) >= 0.8 * 10
    assert run.limit(120) == pytest.approx(10, rel=0.3)

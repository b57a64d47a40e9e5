"""The real scheduler and meter against servers that say little, change, or serve others too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.simulation.quota_world import SERVERS, Client, QuotaWorld

if TYPE_CHECKING:
    from tests.simulation.quota_world import Outcome

ONE = [1]


def others(world: QuotaWorld, *, every: float, size: int, start: float, end: float) -> None:
    """Have somebody else use the quota regularly for a while."""

    def take(now: float) -> None:
        world.others_take(size, now)
        if now < end:
            world.at(now + every, take)

    world.at(start, take)


def refused_after(outcome: Outcome, seconds: float) -> int:
    return sum(at > seconds for at in outcome.refusals)


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(("limit", "sizes", "rounding"), [(60, ONE, 1), (100_000, [1000, 2000, 4000], 1000)])
def test_a_limit_that_the_server_names_is_used_and_never_passed(
    server: str, limit: int, sizes: list[int], rounding: int
) -> None:
    world = QuotaWorld(
        server=server, limit=limit, clients=[Client("bulk", sizes)],
        declared=None, says=True, rounding=rounding, service=1.0, slots=8,
    )  # fmt: skip
    outcome = world.run(1200.0, count_from=120.0)
    assert outcome.refused == 0
    assert world.share(1080.0) >= 0.98
    assert world.meter.source == "announced"


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("says_when", [True, False])
def test_a_limit_that_nobody_names_is_learned(server: str, says_when: bool) -> None:
    world = QuotaWorld(
        server=server, limit=60, clients=[Client("bulk", ONE)],
        declared=None, says_when=says_when, service=1.0, slots=8,
    )  # fmt: skip
    outcome = world.run(2400.0, count_from=600.0)
    assert world.share(1800.0) >= 0.9
    assert refused_after(outcome, 600.0) <= 0.05 * 1800
    assert world.meter.source == "learned"


@pytest.mark.parametrize("quantum", [1.0, 2.0, 3.0, 10.0])
@pytest.mark.parametrize("jitter", [0.5, 0.2])
def test_a_server_that_counts_by_the_second_refuses_nothing_once_that_is_known(quantum: float, jitter: float) -> None:
    world = QuotaWorld(
        server="quantised", limit=600, clients=[Client("bulk", ONE)], quantum=quantum, jitter=jitter
    )  # fmt: skip
    outcome = world.run(900.0, count_from=300.0)
    assert refused_after(outcome, 300.0) == 0
    assert outcome.refused <= 30
    assert world.meter.quantum == quantum
    assert world.share(600.0) >= 0.97 * quantum / (quantum + jitter)


@pytest.mark.parametrize("server", SERVERS)
def test_what_others_use_is_left_to_them_and_taken_again_when_they_are_gone(server: str) -> None:
    world = QuotaWorld(
        server=server, limit=600, clients=[Client("bulk", ONE)], says=True, service=1.0, slots=20
    )  # fmt: skip
    others(world, every=0.2, size=1, start=300.0, end=900.0)
    outcome = world.run(1500.0, count_from=1020.0)
    assert len([at for at in outcome.refusals if 420.0 < at < 900.0]) <= 0.02 * 4800
    assert refused_after(outcome, 1020.0) == 0
    assert world.share(480.0) >= (0.95 if server == "bucket" else 0.98), "a bucket has to fill up first"
    assert world.meter.source == "declared"
    assert world.meter.quantum is None


def test_after_a_pause_that_the_server_asked_for_it_is_back_at_once() -> None:
    world = QuotaWorld(server="sliding", limit=6000, clients=[Client("bulk", ONE, waiting=64)], slots=100_000)
    world.at(200.0, lambda now: world.meter.freeze(20.0, now))
    sent: list[float] = []
    real = world.granted
    world.granted = lambda task, now: (sent.append(now), real(task, now))  # type: ignore[method-assign]
    outcome = world.run(240.0)
    assert outcome.refused == 0
    assert not [at for at in sent if 200.0 < at < 220.0]
    first = [at for at in sent if 220.0 <= at < 220.3]
    assert len(first) >= 0.95 * 0.3 * 100


def test_a_limit_may_change_while_it_is_used() -> None:
    world = QuotaWorld(server="sliding", limit=600, clients=[Client("bulk", ONE)])
    world.meter.declare(300, 0.0)
    world.at(300.0, lambda now: world.meter.declare(600, now))
    halves: list[int] = []
    world.at(299.9, lambda now: halves.append(world.outcome.accepted))
    outcome = world.run(600.0)
    assert outcome.refused == 0
    assert halves[0] == pytest.approx(300 * 5, rel=0.03)
    assert outcome.accepted - halves[0] >= 0.95 * 600 * 5


def test_a_slow_way_costs_refusals_only_until_the_margin_has_grown() -> None:
    world = QuotaWorld(server="sliding", limit=600, clients=[Client("bulk", ONE)], jitter=0.2)
    world.jitter = 1.0  # it varies more than it was said to
    outcome = world.run(1200.0)
    assert outcome.refused <= 0.005 * 12_000
    assert world.share(1200.0) >= 0.95

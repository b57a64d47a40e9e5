"""The real scheduler and meter against servers that count: nothing refused, almost nothing unused.

Ten minutes each, from the first moment on; ``scripts/quota_proof.py`` plays hours.
"""

from __future__ import annotations

import pytest
from tests.simulation.quota_world import SERVERS, Client, QuotaWorld

from tenire.core.overtaking import MOST
from tenire.core.tasks import Priority

MINUTES = 10
KIB = [1000, 2000, 4000, 8000]


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(
    ("limit", "sizes", "least"),
    [(60, [1], 0.985), (500, [1], 0.985), (200_000, KIB, 0.985), (200_000, range(300, 8001, 37), 0.985)],
)
def test_the_whole_quota_is_used_and_nothing_refused(server: str, limit: int, sizes: list[int], least: float) -> None:
    world = QuotaWorld(server=server, limit=limit, clients=[Client("bulk", sizes)])
    outcome = world.run(MINUTES * 60)
    assert outcome.refused == 0
    assert world.share(MINUTES * 60) >= least
    assert outcome.passed <= MOST


@pytest.mark.parametrize("server", SERVERS)
def test_large_calls_leave_little_of_it_unused(server: str) -> None:
    shares = []
    for seed in range(3):
        world = QuotaWorld(server=server, limit=30_000, clients=[Client("bulk", KIB)], seed=seed)
        outcome = world.run(3 * MINUTES * 60)
        assert outcome.refused == 0
        assert outcome.passed <= MOST
        shares.append(world.share(3 * MINUTES * 60))
    assert sum(shares) / len(shares) >= 0.97
    assert min(shares) >= 0.96


@pytest.mark.parametrize("priority", [Priority.CRITICAL, Priority.HIGH])
@pytest.mark.parametrize("pipeline", ["bulk", "chat"])
def test_an_urgent_call_waits_for_at_most_two_others(priority: Priority, pipeline: str) -> None:
    world = QuotaWorld(server="sliding", limit=30_000, clients=[Client("bulk", KIB, waiting=200)])
    for number in range(20):
        world.at(100.0 + 53.0 * number, lambda now: world.ask_urgently(pipeline, 2000, priority, now))
    outcome = world.run(20 * 60)
    assert outcome.refused == 0
    assert len(outcome.probes) == 20
    assert max(outcome.probes) <= 2


def test_two_pipelines_share_it_by_weight_whatever_the_size_of_their_calls() -> None:
    clients = [Client("small", [500, 1000]), Client("large", [4000, 8000], weight=2.0)]
    world = QuotaWorld(server="sliding", limit=100_000, clients=clients)
    outcome = world.run(20 * 60)
    assert outcome.refused == 0
    assert world.share(20 * 60) >= 0.975
    assert outcome.by_client["large"] / outcome.by_client["small"] == pytest.approx(2.0, rel=0.05)

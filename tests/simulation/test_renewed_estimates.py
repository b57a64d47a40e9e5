"""Calls that wait know what the replies before them taught of the size of prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.simulation.model_world import ModelWorld

if TYPE_CHECKING:
    from tenire.testing import SimLoop


@pytest.mark.parametrize("enforcement", ["sliding", "fixed", "bucket"])
def test_a_queue_of_many_minutes_is_not_sent_by_its_first_estimates(sim_loop: SimLoop, enforcement: str) -> None:
    # Each call takes up to 27 % of the limit, and the first estimates are a fifth too high.
    world = ModelWorld(
        tpm=30_000, words=[900, 1900, 3900, 7900], most=100, calls_at_once=48, seed=2, output_tokens=(100, 100),
        enforcement=enforcement, latency="lognormal:0.5:0.5", jitter=0.02,
    )  # fmt: skip
    world.run(sim_loop, 600.0)
    began = min(call.at for call in world.provider.log.records)
    assert world.refused() == 0
    # Some calls are three tokens longer than they were thought: nobody else has used these, or it would be 93 %.
    assert world.used(began + 120.0, began + 600.0) >= 0.95


def test_output_that_nobody_bounded_is_no_longer_thought_long(sim_loop: SimLoop) -> None:
    world = ModelWorld(tpm=60_000, most=None, calls_at_once=200, headers="none", output_tokens=(20, 40))
    world.run(sim_loop, 300.0)
    assert world.refused() == 0
    # At the first guess of 1,024 tokens, the 216 calls that are asked at once would take three minutes and more.
    assert sum(call.admitted and call.at < 60.0 for call in world.provider.log.records) >= 216

"""The real client at servers that count output as it was reserved, or as it was: nothing refused, little unused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.simulation.model_world import ModelWorld

if TYPE_CHECKING:
    from tenire.testing import SimLoop

SERVERS = ("sliding", "fixed", "bucket")


@pytest.mark.parametrize("enforcement", SERVERS)
def test_the_whole_quota_is_used_once_it_is_known_that_real_output_counts(sim_loop: SimLoop, enforcement: str) -> None:
    world = ModelWorld(charge="used", enforcement=enforcement)
    quota = world.run(sim_loop, 300.0)
    assert world.refused() == 0
    assert quota.real_output == ("tokens",)
    assert world.real_at is not None
    assert world.real_at <= 95.0
    assert world.used(0.0, 60.0) < 0.8, "otherwise this shows nothing"
    assert world.used(180.0, 300.0) >= 0.95


@pytest.mark.parametrize("enforcement", SERVERS)
def test_where_it_is_declared_the_whole_quota_is_used_from_the_start(sim_loop: SimLoop, enforcement: str) -> None:
    world = ModelWorld(charge="used", enforcement=enforcement, headers="none", client={"counts_output": "real"})
    quota = world.run(sim_loop, 180.0)
    assert world.refused() == 0
    assert quota.real_output == ("tokens",)
    assert world.used(0.0, 180.0) >= 0.95


@pytest.mark.parametrize("enforcement", SERVERS)
def test_a_server_that_counts_what_is_reserved_is_never_over_run(sim_loop: SimLoop, enforcement: str) -> None:
    world = ModelWorld(charge="reserved", enforcement=enforcement)
    quota = world.run(sim_loop, 300.0)
    assert world.refused() == 0
    assert quota.real_output == ()
    assert world.used(0.0, 300.0) >= 0.95


@pytest.mark.parametrize("client", [{}, {"counts_output": "reserved"}])
def test_without_a_word_of_what_is_left_reserved_output_is_never_given_back(
    sim_loop: SimLoop, client: dict[str, str]
) -> None:
    world = ModelWorld(charge="used", headers="none" if not client else "openai", client=client)
    quota = world.run(sim_loop, 120.0)
    assert world.refused() == 0
    assert quota.real_output == ()


@pytest.mark.parametrize("enforcement", SERVERS)
def test_a_server_that_was_wrongly_declared_to_count_real_output_refuses_little(
    sim_loop: SimLoop, enforcement: str
) -> None:
    world = ModelWorld(charge="reserved", enforcement=enforcement, client={"counts_output": "real"})
    world.run(sim_loop, 300.0)
    assert world.refused() <= 20, "what the server says is left is heeded all the same"


def test_who_changes_its_way_of_counting_is_believed_again_after_a_few_refusals(sim_loop: SimLoop) -> None:
    world = ModelWorld(charge="used", enforcement="sliding")

    def change(_: float) -> None:
        world.provider.settings = msgspec.structs.replace(world.provider.settings, charge="reserved")

    world.events.append((150.0, change))
    quota = world.run(sim_loop, 300.0)
    assert quota.real_output == ()
    assert world.real_at is not None
    assert world.refused() <= 64, "what was under way together"
    assert world.refused(after=220.0) == 0

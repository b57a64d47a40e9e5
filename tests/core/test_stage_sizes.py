"""The sizes of pieces, against a model of the stages they are for."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.core.stage_cost import StageCost
from tenire.core.stage_sizes import (
    FIRST,
    LEAST,
    LONGEST_GROUP_S,
    LONGEST_S,
    MOST,
    SHARE,
    SLACK,
    StageSizes,
    sizes_for,
    slowest,
)  # fmt: skip

fixed_parts = st.floats(1e-5, 2.0)
per_byte = st.floats(1e-9, 1e-5)
per_passage = st.floats(1e-5, 1.0)
densities = st.floats(1e-5, 1e-2)


def cost(fixed: float, each: float) -> StageCost:
    found = StageCost()
    for size in (1, 10, 100, 1000, 10000):
        found.observe(size, fixed + each * size)
    return found


def settle(before: StageSizes = FIRST, *, workers: int = 2, density: float = 0.001, **costs: StageCost) -> StageSizes:
    for _ in range(3):
        before = sizes_for(before, usual=(before.batch, before.batch * density), workers=workers, **costs)
    return before


@given(fixed_parts, per_byte, fixed_parts, per_passage, fixed_parts, per_passage, densities, st.integers(1, 64))
def test_sizes_keep_their_rules_whatever_stages_cost(
    read_fixed: float, read_each: float, embed_fixed: float, embed_each: float, store_fixed: float, store_each: float,
    density: float, workers: int,
) -> None:  # fmt: skip
    read, embed, store = cost(read_fixed, read_each), cost(embed_fixed, embed_each), cost(store_fixed, store_each)
    sizes = settle(read=read, embed=embed, store=store, density=density, workers=workers)
    for field in fields(StageSizes):
        least, most = getattr(LEAST, field.name), getattr(MOST, field.name)
        assert least <= getattr(sizes, field.name) <= most
    assert sizes.readers <= workers
    # Rule 1: at the largest size allowed, or dear calls are rare; and never much too long.
    for size, found, least, most in (
        (sizes.batch, read, LEAST.batch, MOST.batch),
        (sizes.slice, embed, LEAST.slice, MOST.slice),
    ):
        long = found.each * size >= LONGEST_S / (1 + SLACK) * 0.99
        assert size >= most * 0.79 or long or found.fixed <= SHARE / (1 - SLACK) * found.seconds(size) * 1.05
        assert size <= least or found.each * size <= LONGEST_S / (1 - SLACK) * 1.01
    # Rule 2.
    later = max(embed.seconds(sizes.slice) / sizes.slice, store.each)
    assert sizes.group <= LEAST.group or later * sizes.group <= LONGEST_GROUP_S / (1 - SLACK) * 1.01
    # Rule 3: what is read keeps up, or every worker reads.
    bringing = read.seconds(sizes.batch) / (sizes.batch * density)
    assert sizes.readers == workers or sizes.readers / bringing >= 1 / later
    # Rule 5: at rest.
    assert sizes == settle(sizes, read=read, embed=embed, store=store, density=density, workers=workers)


@given(fixed_parts, per_passage, per_passage, st.integers(1, 8), densities)
def test_the_slowest_stage_never_waits_for_long(
    store_fixed: float, embed_each: float, store_each: float, workers: int, density: float
) -> None:
    """Simulate: groups are embedded one after another while the one before is committed."""
    embed, store, read = cost(1e-5, embed_each), cost(store_fixed, store_each), cost(1e-3, 1e-8)
    sizes = settle(read=read, embed=embed, store=store, workers=workers, density=density)
    groups = 20
    embedded = stored = 0.0
    for _ in range(groups):
        # Two are on their way: the next one is embedded once the one before the last is stored.
        embedded += embed_each * sizes.group
        stored = max(stored, embedded) + store.seconds(sizes.group)
    alone = groups * sizes.group * max(embed_each, store_each)
    if sizes.group < MOST.group * 0.8 and max(embed_each, store_each) * sizes.group < LONGEST_GROUP_S / 1.3:
        in_step = min(embed_each, store_each) * sizes.group
        assert stored <= alone / 0.95 + in_step + store.fixed


@given(st.floats(1e-6, 5e-3), st.integers(1, 8), per_passage)
def test_room_is_for_some_groups_whatever_comes_of_a_file(density: float, workers: int, embed_each: float) -> None:
    sizes = settle(
        read=cost(0.002, 5e-8), embed=cost(0.01, embed_each), store=cost(0.05, 2e-5), workers=workers, density=density
    )
    passages = sizes.batch * density
    needed = 3 * (sizes.group + passages) + 2 * sizes.readers * passages
    assert sizes.room == LEAST.room or sizes.room * passages <= needed / (1 - SLACK) + 2 * passages
    assert sizes.room == MOST.room or sizes.room * passages >= needed / (1 + SLACK) - 2 * passages
    assert sizes.batch * sizes.room <= 32 << 20


def test_nothing_known_leaves_all_as_it_was() -> None:
    nothing = StageCost()
    assert sizes_for(FIRST, read=nothing, embed=nothing, store=nothing, usual=(0.0, 0.0), workers=64) == FIRST


def test_a_quick_model_gets_larger_slices_and_groups_than_a_slow_one() -> None:
    read, store = cost(0.002, 5e-8), cost(0.05, 2e-5)
    quick = settle(read=read, embed=cost(0.002, 5e-5), store=store)
    slow = settle(read=read, embed=cost(0.002, 8e-3), store=store)
    assert quick.slice > slow.slice
    assert quick.group > slow.group
    assert slow.slice * 8e-3 <= LONGEST_S / (1 - SLACK)


def test_one_reader_is_enough_for_a_slow_model_and_a_quick_one_gets_all() -> None:
    read, store = cost(0.002, 2e-7), cost(0.05, 2e-5)
    assert settle(read=read, embed=cost(0.002, 8e-3), store=store, workers=8).readers == 1
    assert settle(read=read, embed=cost(0.002, 2e-5), store=store, workers=8).readers == 8


def test_a_size_that_is_nearly_right_stays() -> None:
    read, embed, store = cost(0.002, 2e-7), cost(0.02, 8e-3), cost(0.05, 2e-5)
    sizes = settle(read=read, embed=embed, store=store)
    wavering = cost(0.02 * 1.15, 8e-3 / 1.02)
    assert settle(sizes, read=read, embed=wavering, store=store) == sizes


def test_workers_that_cannot_be_are_refused() -> None:
    nothing = StageCost()
    with pytest.raises(ValueError, match="workers must be a positive whole number, got 0"):
        sizes_for(FIRST, read=nothing, embed=nothing, store=nothing, usual=(0.0, 0.0), workers=0)


def test_the_slowest_stage_is_the_one_whose_workers_had_most_to_do() -> None:
    assert slowest({"prepare": 9.0, "embed": 8.0, "store": 1.0}, {"prepare": 2}) == "embed"
    assert slowest({"prepare": 9.0, "embed": 8.0}, {}) == "prepare"
    assert slowest({"prepare": 0.0}, {}) is None
    assert slowest({}, {}) is None

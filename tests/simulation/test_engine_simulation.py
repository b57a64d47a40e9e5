"""The real engine under random programs; ``TENIRE_SIM_SEED`` and ``TENIRE_SIM_SEEDS`` as beside."""

from __future__ import annotations

import pytest
from tests.simulation.engine import trace_of
from tests.simulation.test_core_simulation import BATCHES, ONLY, SEEDS, replay, seeds

NUMBER = SEEDS // 5


@pytest.mark.parametrize("batch", range(1 if ONLY else BATCHES))
def test_every_task_of_the_engine_ends_and_gives_back_what_it_held(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in seeds(batch, NUMBER):
        try:
            trace_of(seed, monkeypatch)
        except BaseException as error:
            error.add_note(replay(seed))
            raise


def test_equal_seeds_give_equal_traces_of_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    first = [trace_of(seed, monkeypatch)[0] for seed in range(20)]
    assert first == [trace_of(seed, monkeypatch)[0] for seed in range(20)]
    assert len(set(first)) == 20

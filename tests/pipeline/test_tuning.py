"""What a run learns about its stages, and that the next one goes on from there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tenire.core.stage_sizes import FIRST, LONGEST_S
from tenire.pipeline.tuning import Tuning
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(Home(tmp_path / "home")) as opened:
        yield opened


def learn(tuning: Tuning, *, per_passage: float, rounds: int = 30) -> None:
    """Play a run whose model takes so long for a passage of 500 characters."""
    for number in range(rounds):
        passages = 100 + 20 * (number % 5)
        tuning.note_read(passages * 600, passages, passages * 500, 0.002 + passages * 5e-5)
        tuning.note_embedded(passages * 500, 0.003 + passages * per_passage)
        tuning.note_stored(passages * 4, 0.05 + passages * 4 * 2e-5)


def test_a_run_starts_with_the_usual_sizes_and_finds_its_own() -> None:
    tuning, told = Tuning("recipe", workers=2), []
    tuning.on_change = lambda: told.append(tuning.sizes)
    assert tuning.sizes == FIRST
    learn(tuning, per_passage=5e-5)
    assert tuning.sizes.slice > FIRST.slice
    assert tuning.sizes.group > FIRST.group
    assert told
    assert told[-1] == tuning.sizes


def test_a_slow_model_is_called_with_no_more_than_a_second_of_work() -> None:
    tuning = Tuning("recipe", workers=2)
    learn(tuning, per_passage=0.02)
    assert tuning.sizes.slice * 0.02 <= LONGEST_S * 1.35
    assert tuning.sizes.readers == 1


def test_the_next_run_starts_with_what_this_one_learned(ledger: Ledger) -> None:
    first = Tuning("recipe", workers=2)
    learn(first, per_passage=5e-5)
    first.save(ledger)
    second, told = Tuning("recipe", workers=2), []
    second.on_change = lambda: told.append(second.sizes)
    second.load(ledger)
    assert second.sizes == first.sizes
    assert told == [first.sizes]


def test_another_recipe_or_number_of_workers_learns_for_itself(ledger: Ledger) -> None:
    first = Tuning("recipe", workers=2)
    learn(first, per_passage=5e-5)
    first.save(ledger)
    for other in (Tuning("another", workers=2), Tuning("recipe", workers=3)):
        other.load(ledger)
        assert other.sizes == FIRST


@pytest.mark.parametrize(
    "kept",
    [
        "", "no json", "null", "[]", "{}", '{"version": 2}', '{"version": 1, "costs": {}}',
        '{"version":1,"costs":{"read":[],"embed":[],"store":[]},"amounts":["x"],"sizes":[1]}',
        '{"version":1,"costs":{"read":[],"embed":[],"store":[]},"amounts":[1,1,1,1],"sizes":[1,2]}',
    ],
)  # fmt: skip
def test_what_cannot_be_read_counts_as_not_there(ledger: Ledger, kept: str) -> None:
    learned = Tuning("recipe", workers=2)
    learned.save(ledger)
    (key,) = (key for key in keys(ledger) if key.startswith("tuning:"))
    ledger.remember(key, kept)
    tuning = Tuning("recipe", workers=2)
    tuning.load(ledger)
    assert tuning.sizes == FIRST


def test_sizes_that_cannot_be_are_brought_back_between_their_bounds(ledger: Ledger) -> None:
    learned = Tuning("recipe", workers=2)
    learn(learned, per_passage=5e-5)
    learned.save(ledger)
    (key,) = (key for key in keys(ledger) if key.startswith("tuning:"))
    kept = ledger.setting(key)
    assert kept is not None
    sizes = kept[kept.index('"sizes":') :]
    ledger.remember(key, kept.replace(sizes, '"sizes":[999999999,999999,999999,999,999]}'))
    tuning = Tuning("recipe", workers=2)
    tuning.load(ledger)
    assert tuning.sizes.group < 999999
    assert tuning.sizes.readers <= 2


def keys(ledger: Ledger) -> list[str]:
    with ledger._database.reading() as connection:
        return [key for (key,) in connection.execute("SELECT key FROM settings")]

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from tenire.gui.differences import Run, differences, runs

if TYPE_CHECKING:
    from collections.abc import Sequence

keys = st.lists(st.integers(0, 12), unique=True)


def carried_out(old: Sequence[int], new: Sequence[int]) -> list[int]:
    steps = differences(old, new)
    rows = list(old)
    for run in steps.removed:
        del rows[run.first : run.last + 1]
    staying = [key for key in new if key in rows]
    assert steps.moved == (staying != rows)
    rows = staying
    for run in steps.inserted:
        rows[run.first : run.first] = new[run.first : run.last + 1]
    return rows


@given(keys, keys)
def test_the_steps_lead_from_one_list_to_the_other(old: list[int], new: list[int]) -> None:
    assert carried_out(old, new) == new


@given(keys, keys)
def test_what_stays_is_neither_removed_nor_inserted(old: list[int], new: list[int]) -> None:
    steps = differences(old, new)
    removed = {old[row] for run in steps.removed for row in range(run.first, run.last + 1)}
    inserted = {new[row] for run in steps.inserted for row in range(run.first, run.last + 1)}
    assert removed == set(old) - set(new)
    assert inserted == set(new) - set(old)


def test_rows_side_by_side_are_one_run() -> None:
    assert runs([0, 1, 2, 5, 7, 8]) == [Run(0, 2), Run(5, 5), Run(7, 8)]
    assert runs([]) == []

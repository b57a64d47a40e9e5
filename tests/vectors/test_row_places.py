from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.vectors.row_places import RowPlaces


@pytest.mark.parametrize("moved", [False, True])
@given(keys=st.lists(st.integers(0, 2**40), unique=True, max_size=30), data=st.data())
def test_keys_lead_to_rows_and_back(keys: list[int], data: st.DataObject, *, moved: bool) -> None:
    rows = [key * 2 + 2**33 for key in keys]
    if moved:
        rows = data.draw(st.permutations(rows))
    places = RowPlaces(np.array(keys, np.int64), np.array(rows, np.uint64))
    wanted = data.draw(st.lists(st.sampled_from(keys), unique=True)) if keys else []
    there = dict(zip(keys, rows, strict=True))
    assert places.rows_of(wanted) == [there[key] for key in wanted]
    assert places.keys_of(np.array([there[key] for key in wanted], np.uint64)) == wanted


def test_a_key_that_is_not_there_is_left_out() -> None:
    places = RowPlaces(np.array([3, 9, 5], np.int64), np.array([30, 90, 50], np.uint64))
    assert places.rows_of([9, 1, 4, 3, 10]) == [90, 30]
    assert RowPlaces(np.array([], np.int64), np.array([], np.uint64)).rows_of([1]) == []

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.pipeline.rows.columns import as_column, column_types, joined

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=5,
)  # fmt: skip
KINDS = ["null", "bool", "int", "float", "text", "json", "list of int", "list of text", "list of null"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([None], "null"), ([True, None], "bool"), ([1, 2**53], "int"), ([1, 0.5], "float"), ([2**53 + 1, 0.5], "json"),
        ([2**63], "json"), (["a"], "text"), (["a", 1], "json"), ([True, 1], "json"), ([{}], "json"),
        ([[], [1]], "list of int"), ([[1], [0.5]], "list of float"), ([["a"], [1]], "json"), ([[None]], "json"),
        ([[[1]]], "json"), ([[]], "list of null"), ([[2**60]], "json"), ([[1], "a"], "json"),
    ],
)  # fmt: skip
def test_the_type_of_a_column_holds_all_of_its_values(values: list[Any], kind: str) -> None:
    assert column_types([{"it": value} for value in values]) == {"it": kind}


@pytest.mark.parametrize("one", KINDS)
@pytest.mark.parametrize("other", KINDS)
def test_the_order_of_values_does_not_matter(one: str, other: str) -> None:
    assert joined(one, other) == joined(other, one)
    assert joined(one, one) == one


@given(st.lists(VALUES, max_size=6))
def test_no_value_is_lost_in_its_column(values: list[Any]) -> None:
    (kind,) = column_types([{"it": value} for value in values] or [{"it": None}]).values()
    for value in values:
        held = as_column(value, kind)
        if value is None:
            assert held is None
        else:
            assert (json.loads(held) if kind == "json" else held) == value

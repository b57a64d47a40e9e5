from __future__ import annotations

import enum
import itertools
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.concurrency.pools.plain import is_plain

ATOMS = st.one_of(
    st.integers(), st.floats(allow_nan=False), st.booleans(), st.none(), st.text(max_size=50), st.binary(max_size=50)
)
PLAIN = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.tuples(inner, inner), st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)


class Colour(enum.StrEnum):
    RED = "red"


class Text(str):
    __slots__ = ()


class Foreign:
    pass


@given(PLAIN)
def test_small_values_of_built_in_types_are_plain(value: Any) -> None:
    assert is_plain((value,))
    assert pickle.loads(pickle.dumps(value, 5)) == value


@given(PLAIN, st.sampled_from([Text("a"), Colour.RED, Foreign(), Foreign, len, Path("a"), bytearray(b"a"), range(3)]))
def test_one_foreign_object_anywhere_makes_it_foreign(value: Any, foreign: Any) -> None:
    assert not is_plain((value, foreign))
    assert not is_plain(([value, {"key": (foreign,)}],))


@pytest.mark.parametrize(
    "large", ["x" * 40_000, b"x" * 40_000, ["x" * 20_000] * 2, list(range(5_000)), {"x" * 20_000: "x" * 20_000}]
)
def test_what_is_large_is_not_plain(large: Any) -> None:
    assert not is_plain((large,))


def test_looking_stops_where_it_is_clear_that_it_is_too_much() -> None:
    assert not is_plain(itertools.repeat(1))


def test_deep_and_endless_lists_are_not_plain() -> None:
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    endless: list[Any] = []
    endless.append(endless)
    table: dict[str, Any] = {}
    table["self"] = table
    assert not is_plain((deep,))
    assert not is_plain((endless,))
    assert not is_plain((table,))


@given(st.lists(st.text(max_size=3_000), max_size=20))
def test_what_is_plain_is_a_small_pickle(values: list[str]) -> None:
    if is_plain(values):
        assert len(pickle.dumps(values, 5)) < 4 * (32 << 10)

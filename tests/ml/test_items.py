"""What a model of any kind is given of a row, what its results become, and how good they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tenire.errors import PredictionError
from tenire.ml.item_terms import ItemTerms
from tenire.ml.plain import plain
from tenire.ml.tally import ResultTally
from tenire.pipeline.rows.recipe import RowError
from tenire.pipeline.rows.records import Row


def row(**fields: Any) -> Row:
    return Row('"a"', "a", True, "rows.jsonl", "line 1", {"id": "a", **fields}, 1)


def test_arrays_and_numbers_of_numpy_become_what_json_can_hold() -> None:
    found = plain({"a": np.float32(0.5), "b": (np.int64(3), np.array([[1.0, 2.0]])), "c": np.bool_(True)}, "m")
    assert found == {"a": 0.5, "b": [3, [[1.0, 2.0]]], "c": True}
    assert [type(value) for value in (found["a"], found["b"][0], found["c"])] == [float, int, bool]


@pytest.mark.parametrize("value", [float("inf"), [np.array([1.0, np.nan])], {"a": object()}])
def test_what_nobody_can_use_is_refused_wherever_it_stands(value: Any) -> None:
    with pytest.raises(PredictionError, match="the model m"):
        plain(value, "m")


def test_a_request_depends_on_model_fields_and_values_and_on_nothing_else() -> None:
    terms = ItemTerms("m@1", "source", columns=("x", "y"))
    same = terms.request(row(x=1, y="2.0", z=5))
    assert same == terms.request(row(x="1", y=2, z=6))
    others = [
        terms.request(row(x=2, y=1)),
        ItemTerms("m@2", "source", columns=("x", "y")).request(row(x=1, y=2)),
        ItemTerms("m@1", "source", columns=("y", "x")).request(row(x=2, y=1)),
        ItemTerms("m@1", "source", field="v").request(row(v=[1.0, 2.0])),
    ]
    assert len({same, *others}) == 5


@pytest.mark.parametrize("value", [None, "", "x", "nan", "1e999", [1]])
def test_a_column_that_holds_no_number_is_told(value: Any) -> None:
    with pytest.raises(RowError, match="expected a number in the field x"):
        ItemTerms("m@1", "source", columns=("x",)).request(row(x=value))


def test_classes_are_counted_as_texts_numbers_by_their_distance_and_other_results_not_at_all() -> None:
    tally = ResultTally()
    for right, said in (("7", 7), (7, 7), ("a", "b"), ("a", "a"), ("1.5", 1.0), (2, 4.0), ("x", 1.0), (1, [1])):
        tally.add(right, said)
    figures = tally.figures()
    assert (figures["accuracy"], figures["labelled_rows"]) == (0.75, 6)
    assert figures["mean_absolute_error"] == 1.25
    assert figures["root_mean_squared_error"] == round((4.25 / 2) ** 0.5, 6)

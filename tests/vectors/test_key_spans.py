from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tenire.vectors.key_spans import KeySpans

SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 10)), max_size=12)


@given(SPANS)
def test_it_holds_the_keys_of_its_runs_and_no_others(spans: list[tuple[int, int]]) -> None:
    keys = {key for first, count in spans for key in range(first, first + count)}
    found = KeySpans(spans)
    assert {key for key in range(-2, 80) if key in found} == keys
    assert found.total == len(keys)
    assert "7" not in found


@given(SPANS)
def test_its_condition_selects_the_same_keys(spans: list[tuple[int, int]]) -> None:
    condition = KeySpans(spans).condition()
    assert condition is not None
    python = condition.replace("OR", "or").replace("AND", "and").replace("false", "False")
    keys = {key for first, count in spans for key in range(first, first + count)}
    assert {key for key in range(80) if eval(python, {"key": key})} == keys


def test_many_runs_have_no_condition() -> None:
    assert KeySpans((3 * place, 1) for place in range(500)).condition() is None
    assert KeySpans((place, 1) for place in range(500)).condition() == "(key >= 0 AND key < 500)"

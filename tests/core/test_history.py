"""How long tasks of a name usually take."""

from __future__ import annotations

from statistics import median

from hypothesis import given
from hypothesis import strategies as st

from tenire.core.history import ENOUGH, KEPT, DurationHistory

SECONDS = st.floats(0, 1e6, allow_nan=False)


@given(st.lists(st.tuples(st.sampled_from("ab"), SECONDS), max_size=3 * KEPT))
def test_the_usual_duration_is_the_median_of_the_last_ones_of_that_name(records: list[tuple[str, float]]) -> None:
    history = DurationHistory()
    for name, seconds in records:
        history.record(name, seconds)
    for name in "abc":
        last = [seconds for other, seconds in records if other == name][-KEPT:]
        assert history.usual(name) == (median(last) if len(last) >= ENOUGH else None)


def test_the_names_recorded_longest_ago_are_forgotten() -> None:
    history = DurationHistory()
    names = [f"task {number}" for number in range(1024)]
    for name in names:
        for _ in range(ENOUGH):
            history.record(name, 1.0)
    history.record(names[0], 1.0)  # fresh again
    for _ in range(ENOUGH):
        history.record("one more", 1.0)
    assert history.usual(names[0]) == 1.0
    assert history.usual("one more") == 1.0
    assert history.usual(names[1]) is None
    assert history.usual(names[2]) == 1.0

"""The results of the last seconds, against a list of all of them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tenire.core.outcome_window import EXACT, OutcomeWindow

STEPS = st.lists(st.tuples(st.integers(0, 7), st.booleans()), max_size=60)


@given(STEPS)
def test_a_result_counts_for_as_long_as_the_window_and_no_longer(steps: list[tuple[int, bool]]) -> None:
    window, results, now = OutcomeWindow(10.0), [], 0
    for gap, failed in steps:
        now += gap
        window.add(float(now), failed=failed)
        window.check()
        results.append((now, failed))
        lately = [bad for at, bad in results if now - at < 10]
        assert (window.calls, window.failures) == (len(lately), sum(lately))


@given(STEPS, st.integers(1, 9))
def test_only_the_latest_count_where_that_is_asked_for(steps: list[tuple[int, bool]], most: int) -> None:
    window, results, now = OutcomeWindow(10.0, most), [], 0
    for gap, failed in steps:
        now += gap
        window.add(float(now), failed=failed)
        window.check()
        results.append((now, failed))
        lately = [bad for at, bad in results if now - at < 10][-most:]
        assert (window.calls, window.failures) == (len(lately), sum(lately))


@settings(max_examples=20)
@given(st.integers(1, 40), st.integers(0, 1000))
def test_any_number_of_results_is_kept_in_little_memory(per_grain: int, seed: int) -> None:
    window = OutcomeWindow(1.0)
    number = 5 * EXACT
    for index in range(number):
        window.add(seed + index / EXACT / per_grain, failed=index % 3 == 0)
    window.check()
    assert len(window._entries) <= 2 * EXACT + 1
    # At the edge of the window, results are old enough a thousandth too early at the most.
    kept = min(number, EXACT * per_grain)
    assert -2 <= kept - window.calls <= 2 * per_grain + 2


def test_a_clock_that_goes_back_a_little_makes_a_result_as_old_as_the_one_before() -> None:
    window = OutcomeWindow(10.0)
    for now in (5.0, 3.0, 14.9):
        window.add(now, failed=True)
        window.check()
    assert window.failures == 3
    window.add(15.0, failed=False)
    assert (window.calls, window.failures) == (2, 1)


def test_a_clock_that_was_set_back_starts_a_new_window() -> None:
    window = OutcomeWindow(10.0)
    window.add(3600.0, failed=True)
    window.add(0.0, failed=False)
    window.check()
    assert (window.calls, window.failures) == (1, 0)

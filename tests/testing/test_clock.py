import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.testing import ManualClock
from tenire.testing.clock import to_ns


def test_a_manual_clock_moves_only_when_told() -> None:
    clock = ManualClock(10.0)
    assert (clock.now(), clock.now_ns()) == (10.0, 10_000_000_000)
    clock.advance(0.25)
    assert (clock.now(), clock.now_ns()) == (10.25, 10_250_000_000)
    clock.advance_to(11.0)
    assert clock.now() == 11.0


def test_a_manual_clock_never_goes_back() -> None:
    clock = ManualClock(5.0)
    with pytest.raises(ValueError, match=r"never goes back.*-1"):
        clock.advance(-1)
    with pytest.raises(ValueError, match=r"never goes back.*4\.9"):
        clock.advance_to(4.9)
    clock.advance_to(clock.now())
    assert clock.now() == 5.0


def test_the_wall_clock_follows_and_can_be_stepped_on_its_own() -> None:
    clock = ManualClock(wall=1000.0)
    clock.advance(5)
    assert clock.wall() == 1005.0
    clock.step_wall(-3600)
    assert (clock.wall(), clock.now()) == (-2595.0, 5.0)


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_time_that_was_asked_for_is_reached(start: float, when: float) -> None:
    clock = ManualClock(start)
    clock.advance_to(max(when, clock.now()))
    assert clock.now() >= when


@given(st.floats(0, 1e6))
def test_nanoseconds_are_at_most_one_too_many(seconds: float) -> None:
    assert 0 <= to_ns(seconds) / 1e9 - seconds < 2e-9

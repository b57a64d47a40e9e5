"""Burst credit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.core.burst import BURST_S, BurstCredit

LOOKS = st.lists(
    st.tuples(
        st.sampled_from([-5.0, 0.0, 0.1, 1.0, 2.4, 2.5, 2.6, 4.9, 5.0, 5.1, 9.0, 10.0, 11.0, 100.0]),
        st.sampled_from([0.25, 1.0, 2.0]),
        st.booleans(),
    )
)


@given(LOOKS)
def test_the_credit_is_what_the_lead_leaves_and_the_cooldown_ends_at_half_of_it(
    looks: list[tuple[float, float, bool]],
) -> None:
    burst, cooling = BurstCredit(), False
    for lead, pull, allowed in looks:
        used = max(0.0, lead) * pull
        spent = used >= 10.0 or (not allowed and lead > 0.0)
        cooling = spent or (cooling and used > 5.0)
        assert burst.observe(lead, pull, allowed=allowed) == cooling
        assert burst.cooling == cooling
        assert burst.credit == pytest.approx(10.0 - used)
        burst.check()


def test_a_new_pipeline_has_all_of_its_credit() -> None:
    assert BURST_S == 10.0
    assert BurstCredit().credit == BURST_S
    assert not BurstCredit().cooling


def test_twice_the_fair_share_lasts_exactly_the_burst() -> None:
    # Two pipelines of weight 1: a second at twice the fair share is a lead of half a second.
    burst = BurstCredit()
    assert not burst.observe((BURST_S - 0.01) / 2, 2.0)
    assert burst.observe(BURST_S / 2, 2.0)


def test_a_pipeline_that_is_due_has_all_of_its_credit_again() -> None:
    burst = BurstCredit()
    assert burst.observe(100.0, 1.0)
    assert not burst.observe(-3.0, 1.0)
    assert burst.credit == BURST_S


def test_under_load_whoever_has_a_lead_cools_down_until_half_of_the_credit_is_back() -> None:
    burst = BurstCredit()
    assert not burst.observe(0.0, 1.0, allowed=False)
    assert burst.observe(0.01, 1.0, allowed=False)
    assert not burst.observe(0.01, 1.0)


def test_the_check_sees_a_credit_out_of_bounds() -> None:
    credit = BurstCredit()
    credit.credit = BURST_S + 1
    with pytest.raises(AssertionError):
        credit.check()

"""How much of a quota that several processes share one of them may have."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.core.quota_shares import Participant, ahead, expected, free_at, granted, too_many

LIMIT = 1000


def test_who_is_alone_gets_all_that_it_lacks() -> None:
    assert granted(LIMIT, Participant(0, lacking=300), []) == 300
    assert granted(LIMIT, Participant(0, lacking=3000), []) == LIMIT


def test_never_more_than_the_limit() -> None:
    assert granted(LIMIT, Participant(600, lacking=900), [Participant(300)]) == 100
    assert granted(LIMIT, Participant(600, lacking=900), [Participant(400)]) == 0


def test_what_others_are_short_of_is_kept_for_them_up_to_their_share() -> None:
    other = Participant(100, lacking=10_000)
    assert granted(LIMIT, Participant(500, lacking=500), [other]) == 0
    assert granted(LIMIT, other, [Participant(500, lacking=500)]) == 400


def test_what_one_does_not_want_others_have() -> None:
    modest = Participant(100, lacking=50)
    assert granted(LIMIT, Participant(500, lacking=900), [modest]) == 350


def test_one_that_is_not_short_keeps_nothing_from_others() -> None:
    assert granted(LIMIT, Participant(500, lacking=900), [Participant(100)]) == 400


def test_shares_go_by_weight() -> None:
    heavy = Participant(0, lacking=10_000, weight=3.0)
    light = Participant(0, lacking=10_000, weight=1.0)
    assert granted(LIMIT, heavy, [light]) == 750
    assert granted(LIMIT, light, [heavy]) == 250


def test_an_idle_past_gives_no_credit() -> None:
    # Both are short now; what one did not use in earlier windows is gone.
    assert granted(LIMIT, Participant(0, lacking=10_000), [Participant(500, lacking=10_000)]) == 500


def test_less_than_is_of_use_is_not_given() -> None:
    assert granted(LIMIT, Participant(0, lacking=500, least=300), [Participant(800)]) == 0
    assert granted(LIMIT, Participant(0, lacking=500, least=300), [Participant(700)]) == 300


def test_a_last_piece_smaller_than_the_least_is_given() -> None:
    assert granted(LIMIT, Participant(0, lacking=100, least=300), []) == 100


def test_a_want_larger_than_a_share_is_served_in_turn() -> None:
    large = Participant(0, lacking=600, least=600)
    others = [Participant(300, lacking=9000), Participant(250, lacking=9000)]
    assert granted(LIMIT, large, others) == 0, "there is not enough yet"
    assert granted(LIMIT, others[1], [large, others[0]]) == 0, "it is kept, even from those below their share"
    assert granted(LIMIT, large, [Participant(200, lacking=9000), Participant(200, lacking=9000)]) == 600


def test_a_want_larger_than_the_rest_of_a_share_is_served_in_turn() -> None:
    first, second = Participant(300, lacking=9000, least=400), Participant(350, lacking=9000, least=400)
    assert granted(LIMIT, second, [first]) == 0, "what there is, is kept for the one that has used less"
    first = Participant(300, lacking=9000, least=400)
    assert granted(LIMIT, first, [Participant(300, lacking=9000, least=400)]) == 400, "past its share"
    assert granted(LIMIT, Participant(300, lacking=9000, least=350), [Participant(320, lacking=9000)]) == 350
    assert granted(LIMIT, first, [Participant(280, lacking=9000, least=10)]) == 0, "the other has used less"


def test_the_rest_of_a_share_that_helps_nobody_is_there_for_others() -> None:
    stuck = Participant(400, lacking=9000, least=300)
    assert granted(LIMIT, Participant(350, lacking=9000, least=50), [stuck]) == 250


def test_what_fits_into_a_share_is_kept_once_most_of_it_is_there() -> None:
    first = Participant(300, lacking=9000, least=300)
    assert granted(LIMIT, Participant(440, lacking=9000, least=50), [first]) == 260, "it has a long time to come"
    assert granted(LIMIT, Participant(410, lacking=9000, least=50), [first]) == 0, "it is about to go"
    assert granted(LIMIT, Participant(440, lacking=9000, least=50), [Participant(300, lacking=9000, least=600)]) == 0, (
        "it would never fit"
    )


def test_those_who_have_used_less_come_first() -> None:
    others = [Participant(200, lacking=500, least=90), Participant(100, lacking=40, least=90), Participant(100)]
    assert ahead(Participant(250, lacking=9), [*others, Participant(300, lacking=500, least=7)]) == 90 + 40
    assert ahead(Participant(150, lacking=9), others) == 40
    assert ahead(Participant(250, lacking=9, weight=2.0), others) == 40


participants = st.builds(
    Participant,
    used=st.integers(0, 400),
    lacking=st.integers(0, 2000),
    least=st.integers(1, 900),
    weight=st.sampled_from([0.5, 1.0, 2.0]),
)


@given(me=participants, others=st.lists(participants, max_size=5))
def test_what_is_given_is_there_is_wanted_and_is_of_use(me: Participant, others: list[Participant]) -> None:
    units = granted(LIMIT, me, others)
    room = LIMIT - me.used - sum(other.used for other in others)
    assert 0 <= units <= max(0, room)
    assert units <= me.lacking
    assert units == 0 or units >= min(me.least, me.lacking)


@given(
    asks=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 400)), min_size=1, max_size=60),
    least=st.lists(st.integers(1, 700), min_size=4, max_size=4),
)
def test_together_they_never_pass_the_limit_and_somebody_can_always_go_on(
    asks: list[tuple[int, int]], least: list[int]
) -> None:
    used, lacking = [0] * 4, [0] * 4
    for who, wants in asks:
        lacking[who] = max(wants, lacking[who])
        rows = [Participant(used[i], lacking[i], min(least[i], max(1, lacking[i]))) for i in range(4)]
        units = granted(LIMIT, rows[who], [row for i, row in enumerate(rows) if i != who])
        used[who] += units
        lacking[who] -= units
        assert sum(used) <= LIMIT
    # When everything has come back, one of those that are short gets what helps it.
    rows = [Participant(0, lacking[i], min(least[i], max(1, lacking[i]))) for i in range(4)]
    short = [i for i in range(4) if lacking[i]]
    given_now = [granted(LIMIT, rows[i], [row for j, row in enumerate(rows) if j != i]) for i in short]
    assert not short or any(given_now)


@pytest.mark.parametrize(
    ("me", "others", "units"),
    [
        (Participant(10, 90), [], 100),
        (Participant(10, 90), [Participant(10, 90)], 50),
        (Participant(10, 90), [Participant(10, 90, weight=3.0)], 25),
        (Participant(10, 90), [Participant(5, 10)], 85),
        (Participant(10, 90), [Participant(20)], 80),
        (Participant(0, 90), [Participant(100)], 50),
        (Participant(10, 90), [Participant(0)], 100),
        (Participant(0, 90), [Participant(100), Participant(40, 90)], 33),
    ],
)
def test_one_may_expect_what_others_leave_and_at_least_its_share(
    me: Participant, others: list[Participant], units: int
) -> None:
    assert expected(100, me, others) == units


@given(st.lists(participants, min_size=1, max_size=6))
def test_what_those_may_expect_who_all_want_everything_is_what_there_is(all_of_them: list[Participant]) -> None:
    everything = [replace(each, lacking=LIMIT) for each in all_of_them]
    parts = [expected(LIMIT, me, everything[:i] + everything[i + 1 :]) for i, me in enumerate(everything)]
    assert abs(sum(parts) - LIMIT) <= len(parts)  # rounded


def test_what_is_more_than_a_share_is_asked_back_for_those_who_lack_theirs() -> None:
    me = Participant(900)
    assert too_many(LIMIT, me, []) == 0
    assert too_many(LIMIT, me, [Participant(100)]) == 0, "it wants nothing"
    assert too_many(LIMIT, me, [Participant(100, lacking=50)]) == 50
    assert too_many(LIMIT, me, [Participant(100, lacking=5000)]) == 400
    assert too_many(LIMIT, Participant(400), [Participant(100, lacking=5000)]) == 0, "that is its own share"


def test_who_has_one_keeps_it_however_many_they_are() -> None:
    others = [Participant(0, lacking=1)] * 5
    assert too_many(2, Participant(1), others) == 0


def test_when_enough_is_back() -> None:
    coming = [(3.0, 10), (1.0, 10), (2.0, 10)]
    assert free_at(1, coming) == 1.0
    assert free_at(11, coming) == 2.0
    assert free_at(30, coming) == 3.0
    assert free_at(31, coming) is None

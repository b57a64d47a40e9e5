from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from tenire.concurrency.pools.quickness import QUICK_S, Quickness

KEYS = st.sampled_from([b"a", b"b", b"c"])


@given(st.lists(st.tuples(KEYS, st.sampled_from([0.0, QUICK_S, 2 * QUICK_S, math.inf]))))
def test_a_key_is_trusted_exactly_after_enough_quick_ones_in_a_row(notes: list[tuple[bytes, float]]) -> None:
    quickness = Quickness()
    slow = dict.fromkeys((b"a", b"b", b"c"), 0)
    quick = dict(slow)
    for key, seconds in notes:
        quickness.note(key, seconds)
        quickness.check()
        if seconds > QUICK_S:
            slow[key] += 1
            quick[key] = 0
        else:
            quick[key] += 1
        for each in slow:
            assert quickness.trusts(each) == (quick[each] >= 3 * 2 ** slow[each])


def test_what_is_slow_again_and_again_is_trusted_ever_more_seldom() -> None:
    quickness = Quickness()
    trusted = 0
    for _ in range(100_000):
        quickness.note(b"a", 0.0)
        if quickness.trusts(b"a"):
            trusted += 1
            quickness.note(b"a", 1.0)
    assert trusted < 16
    for _ in range(50):
        quickness.note(b"a", 1.0)
    quickness.check()


def test_it_does_not_grow_for_ever() -> None:
    quickness = Quickness()
    for number in range(10_000):
        quickness.note(number.to_bytes(4, "big"), 0.0)
    assert len(quickness._runs) <= 4096

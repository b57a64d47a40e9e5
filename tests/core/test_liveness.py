"""Signs of life: who is asked, and who is hung."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tenire.core.liveness import Liveness, Verdict

STEPS = st.lists(st.tuples(st.sampled_from(["look", "beat"]), st.sampled_from([0.0, 1.0, 4.75, 5.0, 100.0])))


@given(STEPS)
def test_only_one_that_was_asked_and_stayed_silent_for_half_of_its_silence_is_hung(
    steps: list[tuple[str, float]],
) -> None:
    life = Liveness(10.0, 0.0)
    now, sign, asked = 0.0, 0.0, None
    for step, seconds in steps:
        now += seconds
        if step == "beat":
            life.beat(now)
            sign, asked = now, None
            continue
        expected = Verdict.ALIVE
        if asked is not None:
            expected = Verdict.HUNG if now - asked >= 5.0 else Verdict.ALIVE
        elif now - sign >= 5.0:
            expected, asked = Verdict.ASK, now
        assert life.look(now) == expected
        assert life.next_look() == (sign if asked is None else asked) + 5.0
        life.check()


def test_one_that_is_silent_for_ever_is_hung_after_its_silence() -> None:
    life = Liveness(10.0, 0.0)
    seen = []
    while Verdict.HUNG not in seen:
        now = life.next_look()
        seen.append(life.look(now))
    assert (seen, now) == ([Verdict.ASK, Verdict.HUNG], 10.0)


def test_a_night_asleep_is_no_silence() -> None:
    life = Liveness(10.0, 0.0)
    assert life.look(50_000.0) == Verdict.ASK
    life.beat(50_000.0)  # answered in the very moment
    assert life.look(50_004.9) == Verdict.ALIVE

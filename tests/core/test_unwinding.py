from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tenire.core.fair_share import FairShare
from tenire.core.tasks import State, Task
from tenire.core.unwinding import leaves

PIPELINE = FairShare().pipeline("p")


def task(seq: int, *, parent: int = 0, state: State = State.RUNNING) -> Task:
    made = Task(PIPELINE)
    made.seq, made.parent, made.state = seq, parent, state
    return made


def test_who_submitted_others_waits_for_them() -> None:
    family = [task(1), task(2, parent=1), task(3, parent=2), task(4, parent=1)]
    assert [each.seq for each in leaves(family)] == [4, 3]
    assert [each.seq for each in leaves(family[:2])] == [2]
    assert [each.seq for each in leaves(family[:1])] == [1]


def test_what_has_not_started_goes_at_once_and_the_newest_first() -> None:
    waiting = [task(seq, parent=1, state=state) for seq, state in ((2, State.READY), (3, State.WAITING))]
    assert [each.seq for each in leaves([task(1), *waiting])] == [3, 2, 1]


def test_one_that_has_no_number_yet_is_no_ones_parent() -> None:
    assert len(leaves([task(1), task(0, state=State.WAITING), task(0, state=State.WAITING)])) == 3


@given(
    st.lists(st.tuples(st.integers(0, 30), st.sampled_from([State.WAITING, State.READY, State.RUNNING])), max_size=30)
)
def test_all_end_and_nobody_before_who_it_submitted(drawn: list[tuple[int, State]]) -> None:
    left = [task(seq, parent=parent % seq, state=state) for seq, (parent, state) in enumerate(drawn, start=1)]
    while left:
        going = leaves(left)
        assert going
        running = [each for each in left if each.state is State.RUNNING]
        for each in going:
            assert each.state is not State.RUNNING or not any(other.parent == each.seq for other in running)
        assert [each.seq for each in going] == sorted((each.seq for each in going), reverse=True)
        left = [each for each in left if each not in going]

"""Who can still make its deadline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from tenire.core.expiry import CHANCE, TRY_AGAIN_S, Expiry
from tenire.core.fair_share import PipelineShare
from tenire.core.history import ENOUGH, History
from tenire.core.tasks import RUNNING, State, Task

if TYPE_CHECKING:
    from collections.abc import Callable


def known(*seconds: float) -> tuple[Expiry, History]:
    history = History()
    for _ in range(ENOUGH):
        for took in seconds:
            history.record("x", took)
    return Expiry(history), history


def task(deadline: float, *, name: str = "x", ready_at: float = 0.0) -> Task:
    new = Task(PipelineShare("p"), name, deadline=deadline)
    new.ready_at = ready_at
    return new


def reason(expiry: Expiry, one: Task, now: float, *, contended: bool = False) -> str | None:
    assert one.deadline is not None
    return expiry.hopeless(one, one.deadline, now, contended=contended)


def test_a_task_with_as_much_time_as_its_kind_takes_is_not_hopeless() -> None:
    expiry, _ = known(10.0)
    assert reason(expiry, task(10.0), 0.0) is None
    assert reason(expiry, task(10.0), 0.1) == "it usually takes 10 s and only 9.9 s are left"
    assert reason(expiry, task(10.0), 12.0) == "it usually takes 10 s and only 0 s are left"


def test_of_a_name_that_is_not_known_nothing_is_hopeless() -> None:
    expiry, _ = known(10.0)
    assert reason(expiry, task(0.1, name="y"), 0.0, contended=True) is None


def test_after_a_minute_of_refusals_one_task_of_a_name_is_tried() -> None:
    expiry, history = known(10.0)
    for _ in range(ENOUGH):
        history.record("y", 10.0)
    assert reason(expiry, task(1.0), 0.0) is not None
    assert reason(expiry, task(TRY_AGAIN_S + 0.9), TRY_AGAIN_S - 0.1) is not None
    tried = task(TRY_AGAIN_S + 1.0)
    assert reason(expiry, tried, TRY_AGAIN_S) is None
    assert reason(expiry, tried, TRY_AGAIN_S + 0.9, contended=True) is None, "and not refused when its turn has come"
    assert reason(expiry, task(TRY_AGAIN_S + 1.0), TRY_AGAIN_S) is not None, "one, not all"
    assert reason(expiry, task(TRY_AGAIN_S + 1.0, name="y"), TRY_AGAIN_S) is not None, "each name has its own minute"
    assert reason(expiry, task(2 * TRY_AGAIN_S + 1.0), 2 * TRY_AGAIN_S) is None


def test_a_turn_that_has_come_is_no_refusal_that_counts() -> None:
    expiry, _ = known(10.0)
    assert reason(expiry, task(1.0), 0.0) is not None
    assert reason(expiry, task(TRY_AGAIN_S + 1.0), TRY_AGAIN_S, contended=True) is not None


def test_names_that_were_refused_do_not_pile_up() -> None:
    expiry, history = known(10.0)
    for number in range(2049):
        name = f"n{number}"
        for _ in range(ENOUGH):
            history.record(name, 10.0)
        assert reason(expiry, task(1.0, name=name), 0.0) is not None
        assert len(expiry._refused_since) == number % 1024 + 1


def test_among_others_a_task_is_refused_once_its_chance_has_fallen() -> None:
    expiry, _ = known(*range(1, 11))  # evenly from one to ten seconds
    one = task(20.0)
    assert reason(expiry, one, 0.0, contended=True) is None
    assert reason(expiry, one, 9.0, contended=True) is None
    told = reason(expiry, one, 12.0, contended=True)
    assert told is not None
    assert told.startswith("it may take")
    assert told.endswith("only 8 s are left, and others can still make theirs")
    assert reason(expiry, one, 12.0) is None, "with nobody else waiting it may try"


def test_what_takes_no_time_is_done_however_many_others_wait() -> None:
    expiry, _ = known(0.0)
    assert reason(expiry, task(0.5), 0.0, contended=True) is None


def test_what_never_had_a_better_chance_is_not_refused_for_it() -> None:
    expiry, _ = known(*range(1, 11))
    short = task(6.0)
    assert reason(expiry, short, 0.0, contended=True) is None
    tight = task(5.6)
    assert reason(expiry, tight, 0.0, contended=True) is None
    assert (CHANCE, TRY_AGAIN_S) == (0.98, 60.0)


def test_deadlines_come_in_order_and_only_those_of_what_has_not_ended() -> None:
    expiry = Expiry(History())
    tasks = [task(3.0), task(1.0), task(2.0), task(9.0)]
    for one in tasks:
        assert one.deadline is not None
        expiry.watch(one, one.deadline)
    assert expiry.live == 4
    assert expiry.next_at() == 1.0
    tasks[2].state = State.DONE
    expiry.forget(tasks[3])
    assert expiry.passed(0.9) == []
    assert not expiry.told(tasks[1])
    assert expiry.passed(3.0) == [tasks[1], tasks[0]]
    assert expiry.told(tasks[1])
    assert (expiry.live, expiry.next_at()) == (0, None)
    expiry.check()


def test_a_task_that_runs_at_its_deadline_is_remembered_as_a_slow_one() -> None:
    history = History()
    expiry = Expiry(history)
    for _ in range(ENOUGH):
        one = task(10.0)
        one.state, one.started_at = RUNNING, 2.0
        expiry.watch(one, 10.0)
        waiting = task(10.0, name="waits")
        expiry.watch(waiting, 10.0)
        assert len(expiry.passed(10.0)) == 2
    assert history.usual("x") == pytest.approx(8.8)
    assert history.usual("waits") is None


def test_a_task_whose_turn_has_come_too_late_gives_it_to_the_next(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=1)
    for _ in range(ENOUGH):
        engine.submit(name="slow", cpu=1, seconds=10)
    engine.run()
    first = engine.submit(name="other", cpu=1, seconds=5)
    engine.decide()
    late = engine.submit(name="slow", cpu=1, deadline=engine.now + 12)
    plain = engine.submit(name="slow", cpu=1)
    engine.run(until=engine.now + 5)
    assert engine.decide() in ([], [plain])
    assert (first.state, late.state, plain.state) == (State.DONE, State.FAILED, RUNNING)
    assert engine.admission.free[0] == 0


def test_a_task_that_never_had_more_than_an_even_chance_may_take_it() -> None:
    expiry, _ = known(1.0, 1.0, 1.0, 10.0, 10.0)
    assert reason(expiry, task(5.0), 1.0, contended=True) is None
    assert reason(expiry, task(5.0), 4.5, contended=True) is not None


@pytest.mark.parametrize("chance", [0.6, 0.75, 0.9, 1.0])
def test_the_chance_that_a_task_had_when_it_became_ready_is_what_it_may_nearly_keep(chance: float) -> None:
    history = History()
    for number in range(50):
        history.record("x", 1.13**number)
    expiry = Expiry(history)
    span, needed = (cast("float", history.quantile("x", part)) for part in (chance, chance * CHANCE))
    one = task(64.0 + span + 1e-9)  # the difference may be rounded
    one.ready_at = 64.0
    latest = 64.0 + span - needed
    assert reason(expiry, one, latest - 1e-6, contended=True) is None
    assert reason(expiry, one, latest + 1e-6, contended=True) is not None

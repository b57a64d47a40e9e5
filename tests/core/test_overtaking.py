"""Who may start before the head of a lane that waits for a rate, and how often."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tenire.core.overtaking import LOOK_AHEAD, MOST
from tenire.core.tasks import Priority, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.core.tasks import Task


class Store:
    """Stands for a meter: so much is there, and more comes when the test says so."""

    rate = 1.0

    def __init__(self, free: int, later: float = 1000.0) -> None:
        self.free, self.later = free, later

    def refill(self, free: int, now: float) -> int:
        return self.free

    def take(self, amount: int, free: int, now: float) -> int:
        self.free -= amount
        return self.free

    def lacked(self, amount: int, *, first: bool = True) -> None:
        pass

    def ready_at(self, amount: int, free: int, now: float) -> float:
        return now if amount <= self.free else now + self.later + amount


@pytest.fixture
def store() -> Store:
    return Store(0)


@pytest.fixture
def engine(machine: Callable[..., Any], store: Store) -> Any:
    engine = machine(cpu=2)
    engine.admission.register_meter("tokens", store, 100)
    return engine


def wait(engine: Any, *sizes: int, priority: Priority = Priority.NORMAL, **options: Any) -> list[Task]:
    return [engine.submit(other={"tokens": size}, priority=priority, name=f"{size}", **options) for size in sizes]


def started(engine: Any, store: Store, free: int) -> list[str]:
    store.free = free
    return [task.name for task in engine.decide()]


def test_of_those_that_fit_the_largest_goes_before_a_head_that_does_not(engine: Any, store: Store) -> None:
    wait(engine, 50, 3, 7, 20, 7)
    assert started(engine, store, 10) == ["7"]
    assert started(engine, store, 10) == ["7"]
    assert started(engine, store, 10) == ["3"]
    assert started(engine, store, 60) == ["50"]
    engine.scheduler.check(engine.running)


def test_nobody_is_overtaken_more_often_than_that(engine: Any, store: Store) -> None:
    wait(engine, 50, 40, *[5] * 20)
    assert [started(engine, store, 5) for _ in range(MOST + 3)] == [["5"]] * MOST + [[]] * 3
    assert started(engine, store, 50) == ["50"]
    assert started(engine, store, 5) == [], "the second was overtaken as often as the first"
    assert started(engine, store, 40) == ["40"]
    assert started(engine, store, 5) == ["5"]


def test_who_was_overtaken_less_often_may_be_overtaken_by_those_before_it(engine: Any, store: Store) -> None:
    wait(engine, 50, *[5] * (MOST - 1))
    for _ in range(MOST - 1):
        assert started(engine, store, 5) == ["5"]
    wait(engine, 40, 5, 5)
    assert started(engine, store, 5) == ["5"]
    assert started(engine, store, 5) == [], "the head"
    assert started(engine, store, 50) == ["50"]
    assert started(engine, store, 5) == ["5"], "the second has been overtaken once only"


def test_only_the_first_few_are_looked_at(engine: Any, store: Store) -> None:
    wait(engine, *[50] * LOOK_AHEAD, 5)
    assert started(engine, store, 10) == []
    assert started(engine, store, 50) == ["50"]
    assert started(engine, store, 10) == ["5"]


def test_nobody_goes_before_a_head_that_fits_soon(engine: Any, store: Store) -> None:
    wait(engine, 50, 5)
    store.later = 0.2 * 50 - 50
    assert started(engine, store, 10) == []
    store.later = 0.4 * 50 - 50
    assert started(engine, store, 10) == ["5"]


@pytest.mark.parametrize("kind", ["critical", "deadline", "slot"])
def test_some_are_never_overtaken(engine: Any, store: Store, kind: str) -> None:
    if kind == "critical":
        wait(engine, 50, 5, priority=Priority.CRITICAL)
    elif kind == "deadline":
        wait(engine, 50, deadline=1e6)
        wait(engine, 5, 5)
    else:  # it lacks more than tokens, and what it lacks comes back with an end
        engine.submit(cpu=2, seconds=5.0)
        engine.decide()
        wait(engine, 50, 5, cpu=1)
    assert started(engine, store, 10) == []


def test_less_urgent_work_does_not_go_before_more_urgent(engine: Any, store: Store) -> None:
    wait(engine, 50, 40, priority=Priority.HIGH)
    wait(engine, 5)
    assert started(engine, store, 10) == []


def test_one_that_lacks_something_else_is_passed_over(engine: Any, store: Store) -> None:
    wait(engine, 50, cpu=1)
    wait(engine, 9, cpu=2)
    wait(engine, 5, cpu=1)
    engine.submit(cpu=1, seconds=9.0)
    engine.decide()
    assert started(engine, store, 10) == ["5"]


def test_it_is_looked_again_when_the_smallest_fits(engine: Any, store: Store) -> None:
    wait(engine, 50, 20, 8)
    assert started(engine, store, 2) == []
    assert engine.scheduler.next_wake() == engine.now + store.later + 8


def test_those_that_left_while_waiting_are_not_counted_for_ever(engine: Any, store: Store) -> None:
    wait(engine, 50)
    lane = engine.scheduler.shares.pipeline("default").queue.contenders[0]
    for _ in range(100):
        gone = wait(engine, *[60] * (LOOK_AHEAD - 2))
        wait(engine, 5)
        if not started(engine, store, 5):
            started(engine, store, 50)
            wait(engine, 50)
        for task in gone:
            engine.scheduler.cancel(task, engine.now)
    assert len(lane.overtaking._counts) <= 5 * LOOK_AHEAD
    assert all(task.state != State.READY or task.lane is lane for task in lane.live())
    engine.scheduler.check(engine.running)


def test_the_largest_goes_also_where_all_come_back_within_a_second(engine: Any, store: Store) -> None:
    store.rate = 1000.0
    wait(engine, 50, 3, 7)
    assert started(engine, store, 10) == ["7"]


def test_those_behind_were_not_overtaken(engine: Any, store: Store) -> None:
    wait(engine, 50, *[5] * MOST, 40)
    for _ in range(MOST):
        assert started(engine, store, 5) == ["5"]
    assert started(engine, store, 50) == ["50"]
    wait(engine, 5)
    assert started(engine, store, 5) == ["5"], "nobody has gone before the second yet"


def test_counts_of_those_that_wait_are_kept_when_others_are_given_up(engine: Any, store: Store) -> None:
    wait(engine, 50)
    for _ in range(MOST):
        gone = wait(engine, *[60] * (LOOK_AHEAD - 2))
        wait(engine, 5)
        assert started(engine, store, 5) == ["5"]
        for task in gone:
            engine.scheduler.cancel(task, engine.now)
    wait(engine, 5)
    assert started(engine, store, 5) == [], "it was overtaken as often as it may be"


def test_of_equals_the_first_goes_and_leaves_its_queue(engine: Any, store: Store) -> None:
    head, first, second = wait(engine, 50, 5, 5)
    store.free = 5
    assert engine.decide() == [first]
    assert list(head.lane.queues[head.priority]) == [head, second]
    assert first not in head.lane.overtaking._counts


def test_soon_is_reckoned_from_now(engine: Any, store: Store) -> None:
    engine.now = 1000.0
    wait(engine, 50, 5)
    store.later = 0.2 * 50 - 50
    assert started(engine, store, 10) == []
    engine.now = 1000.0
    store.later = 0.3 * 50 - 50
    assert started(engine, store, 10) == [], "as soon as that is soon"


def test_nobody_is_overtaken_nine_times(engine: Any, store: Store) -> None:
    wait(engine, 50, *[5] * 9)
    assert [len(started(engine, store, 5)) for _ in range(9)] == [1] * 8 + [0]

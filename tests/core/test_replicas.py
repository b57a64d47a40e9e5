"""How many copies of a model are worth having, and which of them an item goes to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.core.replicas import IDLE_S, LEAST_S, Replicas


class Load:
    """As many items as ask at the same time, each of which asks again at once."""

    def __init__(self, replicas: Replicas, *, asking: int) -> None:
        self.replicas = replicas
        self.now = 100.0
        self.items = [replicas.begin(self.now) for _ in range(asking)]

    def run(self, seconds: float, *, rate: float) -> None:
        """Go through items, so many a second, the oldest first."""
        until = self.now + seconds
        while self.now < until:
            self.now += 1 / rate
            self.replicas.end(self.items.pop(0), self.now)
            self.items.append(self.replicas.begin(self.now))
            self.replicas.check()

    def stop(self) -> None:
        for number in self.items:
            self.replicas.end(number, self.now)
        self.items = []


def test_items_fill_the_first_copy_and_then_the_others_and_then_go_to_the_one_with_least() -> None:
    replicas = Replicas(most=2, batch=2)
    replicas.more(0.0)
    assert [replicas.begin(0.0) for _ in range(5)] == [0, 0, 1, 1, 0]
    replicas.end(1, 0.0)
    assert [replicas.begin(0.0) for _ in range(3)] == [1, 1, 0]


def test_one_more_is_worth_it_once_there_is_enough_to_do_for_longer_than_loading_takes() -> None:
    replicas = Replicas(most=3, batch=4)
    replicas.loaded_in(3.0)
    load = Load(replicas, asking=8)
    load.run(5.0, rate=10)
    assert not replicas.wants_more(load.now)
    load.run(1.2, rate=10)
    assert replicas.wants_more(load.now)
    assert not replicas.wants_more(load.now), "it is being loaded"


def test_a_little_work_now_and_then_is_not_worth_it() -> None:
    replicas = Replicas(most=3, batch=4)
    load = Load(replicas, asking=0)
    for _ in range(20):
        load.items = [replicas.begin(load.now) for _ in range(8)]
        load.run(LEAST_S / 2, rate=10)
        load.stop()
        assert not replicas.wants_more(load.now)
        load.now += LEAST_S
    assert Replicas(most=1, batch=1).wants_more(1e9) is False


def grown(asking: int = 16) -> Load:
    replicas = Replicas(most=3, batch=4)
    load = Load(replicas, asking=asking)
    load.run(2.0, rate=10)
    assert replicas.wants_more(load.now)
    replicas.more(load.now)
    return load


def test_one_that_pays_stays_and_another_one_may_follow() -> None:
    load = grown()
    load.run(10.0, rate=18)
    assert (len(load.replicas), load.replicas.most) == (2, 3)
    assert load.replicas.going(load.now) is None
    assert load.replicas.wants_more(load.now)


def test_one_that_brings_nothing_gets_nothing_more_goes_and_is_not_tried_again() -> None:
    load = grown()
    load.run(12.0, rate=10.5)
    assert load.replicas.going(load.now) == 1
    load.run(10.0, rate=10.5)
    assert (len(load.replicas), load.replicas.most) == (1, 1)
    assert not load.replicas.wants_more(load.now)


def test_one_without_work_goes_and_the_first_stays() -> None:
    load = grown()
    load.stop()
    assert load.replicas.going(load.now + IDLE_S - 0.1) is None
    assert load.replicas.going(load.now + IDLE_S) == 1
    assert load.replicas.going(load.now + 10 * IDLE_S) is None
    assert load.replicas.most == 3


def test_one_that_could_not_be_loaded_is_tried_again_later() -> None:
    replicas = Replicas(most=2, batch=4)
    load = Load(replicas, asking=8)
    load.run(2.0, rate=10)
    assert replicas.wants_more(load.now)
    replicas.no_more()
    assert not replicas.wants_more(load.now)
    load.run(LEAST_S + 0.2, rate=10)
    assert replicas.wants_more(load.now)


@pytest.mark.parametrize(("most", "batch"), [(0, 1), (1, 0)])
def test_numbers_must_be_positive(most: int, batch: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        Replicas(most=most, batch=batch)


@given(st.lists(st.tuples(st.sampled_from(["begin", "end", "wants", "no", "going", "wait"]), st.floats(0, 40))))
def test_it_keeps_its_rules_whatever_comes(steps: list[tuple[str, float]]) -> None:
    replicas, now = Replicas(most=3, batch=2), 0.0
    items: list[int] = []
    for step, seconds in steps:
        if step == "begin":
            items.append(replicas.begin(now))
        elif step == "end" and items:
            replicas.end(items.pop(0), now)
        elif step == "wants" and replicas.wants_more(now):
            replicas.more(now)
        elif step == "no" and replicas.wants_more(now):
            replicas.no_more()
        elif step == "going":
            gone = replicas.going(now)
            assert gone is None or gone not in items
        else:
            now += seconds
        replicas.check()

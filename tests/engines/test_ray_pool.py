"""Workers of one kind, with actors of the test's own in place of Ray's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenire.concurrency.pools.engine import Job, Lost
from tenire.concurrency.pools.frames import Message
from tenire.engines.ray_pool import Errand, RayPool, Worker
from tenire.engines.ray_worker import Found

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.concurrency.pools.engine import Outcome

HERE = Found("machine", "host", "node 1", 1)
THERE = Found("machine", "host", "node 2", 2)


class Actor:
    """Stands for an actor; what it is asked is a reference that the test answers."""

    def __init__(self) -> None:
        self.killed = False
        self.cut_off = False
        self.run = self  # an actor's method has a ``remote`` of its own

    def remote(self, *parts: bytes) -> tuple[Actor, tuple[bytes, ...]]:
        if self.cut_off:
            message = "no connection"
            raise ConnectionError(message)
        return self, parts


class Bench:
    """A pool, its actors, and what came of the jobs."""

    def __init__(self, most: int | None = None) -> None:
        self.actors: list[Actor] = []
        self.calls: dict[Any, Callable[[Any, BaseException | None], object]] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.there = 0
        self.fails = False
        self.left: list[str] = []
        self.spare = 0
        self.pool = RayPool(
            start=self._start,
            kill=self._kill,
            watch=self.calls.__setitem__,
            most=most,
            changed=self._changed,
            make_room=lambda pool: None,
            lost=self.left.append,
            spare=self._spare,
        )

    def _start(self) -> tuple[Actor, Actor]:
        if self.fails:
            message = "no connection"
            raise ConnectionError(message)
        self.actors.append(Actor())
        return self.actors[-1], self.actors[-1]

    def _kill(self, actor: Actor) -> None:
        actor.killed = True

    def _changed(self, worker: Worker, there: bool) -> None:
        self.there += 1 if there else -1

    def _spare(self, pool: RayPool) -> None:
        assert pool is self.pool
        self.spare += 1

    def put(self, name: str) -> Errand:
        errand = Errand(Job(name, None, 1.0, 0, [name.encode()]), lambda outcome: self._ended(name, outcome), self.pool)
        self.pool.put(errand)
        return errand

    def _ended(self, name: str, outcome: Outcome) -> None:
        assert name not in self.outcomes, "a job ends once"
        self.outcomes[name] = outcome

    def ready(self, number: int, found: Found | None = HERE, error: BaseException | None = None) -> None:
        self.calls.pop(self.actors[number])(found, error)

    def running(self) -> dict[str, int]:
        """Return which job runs on which actor."""
        return {key[1][0].decode(): self.actors.index(key[0]) for key in self.calls if isinstance(key, tuple)}

    def over(self, name: str, error: BaseException | None = None) -> None:
        (key,) = [key for key in self.calls if isinstance(key, tuple) and key[1] == (name.encode(),)]
        self.calls.pop(key)((1, [b"made"]) if error is None else None, error)


def test_a_job_goes_to_a_worker_only_once_that_is_there() -> None:
    bench = Bench()
    errand = bench.put("a")
    assert (len(bench.actors), bench.running(), errand.since) == (1, {}, None)
    bench.ready(0)
    assert bench.running() == {"a": 0}
    assert errand.since is not None
    bench.over("a")
    assert bench.outcomes == {"a": Message(1, 0, [bytearray(b"made")])}


def test_a_worker_is_used_again_and_the_oldest_job_goes_first() -> None:
    bench = Bench()
    for name in "abc":
        bench.put(name)
    assert len(bench.actors) == 3
    bench.ready(1)
    assert bench.running() == {"a": 1}
    bench.over("a")  # and it need not wait for the others, which Ray may have no room for
    bench.over("b")
    bench.over("c")
    bench.ready(0)
    bench.put("d")
    assert (len(bench.actors), bench.running()) == (3, {"d": 0})


def test_there_are_no_more_workers_of_a_name_than_may_share_it() -> None:
    bench = Bench(most=2)
    for name in "abc":
        bench.put(name)
    assert len(bench.actors) == 2


def test_a_job_is_lost_with_its_worker_and_the_next_one_gets_another() -> None:
    bench = Bench()
    bench.put("a")
    bench.ready(0)
    bench.over("a", OSError("the node is gone"))
    lost = bench.outcomes["a"]
    assert isinstance(lost, Lost)
    assert (lost.why, lost.started) == ("OSError: the node is gone", True)
    assert bench.actors[0].killed  # it may only have been out of reach
    bench.put("b")
    assert (len(bench.actors), bench.there) == (2, 0)


def test_a_worker_lost_before_it_is_ready_takes_no_job_along_but_not_for_ever() -> None:
    bench = Bench()
    bench.put("a")
    for number in range(2):
        bench.ready(number, None, OSError("gone"))
        assert not bench.outcomes
        assert len(bench.actors) == number + 2
    bench.ready(2, None, OSError("gone"))
    lost = bench.outcomes["a"]
    assert isinstance(lost, Lost)
    assert not lost.started


def test_any_number_of_workers_lost_with_their_node_before_they_were_ready_count_once() -> None:
    bench = Bench()
    for name in "abcd":
        bench.put(name)
    for number in range(4):
        bench.ready(number, None, OSError("the node is gone"))
    assert not bench.outcomes
    assert len(bench.actors) == 8
    bench.ready(4)
    assert bench.running() == {"a": 4}


def test_a_lost_worker_has_idle_ones_of_its_node_let_go_and_no_others() -> None:
    bench = Bench()
    for name in "abc":
        bench.put(name)
    bench.ready(0)
    bench.ready(1)
    bench.ready(2, THERE)
    bench.over("b")
    bench.over("c")
    bench.over("a", OSError("the node is gone"))
    assert bench.left == ["node 1"]
    bench.pool.leave("node 1")
    assert [actor.killed for actor in bench.actors] == [True, True, False]
    bench.put("d")
    assert bench.running() == {"d": 2}


def test_a_node_where_nothing_can_run_says_why_at_once() -> None:
    bench = Bench()
    bench.put("a")
    bench.ready(0, Found("machine", "host", "node 1", 1, "the node host does not see the home"))
    assert bench.outcomes == {"a": Lost("the node host does not see the home", started=False)}


def test_a_connection_that_is_gone_ends_what_waits() -> None:
    bench = Bench()
    bench.fails = True
    bench.put("a")
    assert bench.outcomes == {"a": Lost("ConnectionError: no connection", started=False)}


def test_a_stopped_job_never_begins_or_is_killed_with_its_worker() -> None:
    bench = Bench()
    running, waiting = bench.put("a"), bench.put("b")
    bench.ready(0)
    waiting.stop()
    assert isinstance(bench.outcomes["b"], Lost)
    running.stop()
    assert bench.actors[0].killed
    assert "a" not in bench.outcomes  # its process may still be there
    bench.over("a", OSError("killed"))
    assert isinstance(bench.outcomes["a"], Lost)
    running.stop()  # too late, and harmless


def test_a_killed_worker_gets_no_job_though_the_outcome_of_its_last_one_was_on_its_way() -> None:
    bench = Bench()
    stopped = bench.put("a")
    bench.ready(0)
    stopped.stop()
    bench.over("a")
    assert isinstance(bench.outcomes["a"], Message)
    bench.put("b")
    assert bench.running() == {}
    bench.ready(1)
    assert bench.running() == {"b": 1}


def test_a_stopped_job_costs_no_other_worker_of_its_node() -> None:
    bench = Bench()
    stopped = bench.put("a")
    bench.put("b")
    bench.ready(0)
    bench.ready(1)
    bench.over("b")
    stopped.stop()
    bench.over("a", OSError("killed"))
    assert isinstance(bench.outcomes["a"], Lost)
    assert (bench.left, bench.actors[1].killed) == ([], False)


def test_a_worker_that_cannot_be_given_a_job_makes_room_for_another() -> None:
    bench = Bench(most=1)
    bench.put("a")
    bench.ready(0)
    bench.over("a")
    bench.actors[0].cut_off = True
    bench.put("b")
    assert bench.outcomes["b"] == Lost("ConnectionError: no connection", started=False)
    bench.put("c")
    assert bench.actors[0].killed
    bench.ready(1)
    assert bench.running() == {"c": 1}


def test_it_is_known_whether_workers_are_lacking_and_told_when_some_are_spare() -> None:
    bench = Bench()
    assert not bench.pool.lacks_workers
    bench.put("a")
    waiting = bench.put("b")
    assert bench.pool.lacks_workers
    bench.ready(0)
    assert bench.pool.lacks_workers
    waiting.stop()
    assert not bench.pool.lacks_workers
    assert bench.spare == 0
    bench.over("a")
    assert bench.spare == 1
    bench.ready(1)  # it comes too late
    assert bench.spare == 2


def test_idle_workers_are_let_go_and_those_at_work_stay() -> None:
    bench = Bench()
    bench.put("a")
    bench.put("b")
    bench.ready(0)
    bench.ready(1)
    bench.over("a")
    bench.pool.retire()
    assert [actor.killed for actor in bench.actors] == [True, False]
    bench.over("b")
    assert isinstance(bench.outcomes["b"], Message)


def test_a_closed_pool_has_no_workers_and_no_jobs() -> None:
    bench = Bench()
    bench.put("a")
    bench.put("b")
    bench.ready(0)
    bench.pool.close()
    assert all(actor.killed for actor in bench.actors)
    assert bench.outcomes == {"b": Lost("the engine closed", started=False)}
    bench.ready(1)  # it comes too late
    assert bench.there == 0

from __future__ import annotations

import socket
import sys
import threading
from collections import deque
from concurrent.futures import Future
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tenire.concurrency.pools.engine import Capacity, Job
from tenire.engines import ray_engine
from tenire.engines.ray_engine import RayEngine
from tenire.engines.ray_worker import Found
from tenire.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable


def test_without_ray_there_is_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_engine, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError):
        RayEngine(None, cpu=2)


def test_an_address_at_which_nobody_listens_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_engine, "find_spec", lambda name: object())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        engine = RayEngine(address, cpu=None)
        with pytest.raises(ConfigError, match=f"there is no Ray cluster at {address}: .*refused") as caught:
            engine.connect()
        engine.disconnect()
    assert caught.value.key == "tenire.engine"


def test_whatever_ends_the_start_of_ray_is_told_to_whoever_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(_: RayEngine) -> None:
        sys.exit("no such option")

    monkeypatch.setattr(ray_engine, "find_spec", lambda name: object())
    monkeypatch.setattr(RayEngine, "_connected", leave)
    told: list[BaseException] = []

    def connect() -> None:
        try:
            engine.connect()
        except ConfigError as error:
            told.append(error)

    engine = RayEngine(None, cpu=2)
    # If it waited for ever, the test would too.
    waiting = threading.Thread(target=connect, daemon=True)
    waiting.start()
    waiting.join(10)
    engine.disconnect()
    assert [str(error) for error in told] == ["Ray cannot be started on this machine: no such option"]


class Reference:
    """What an actor was asked, and what comes of it."""

    def __init__(self, actor: Actor, asked: str) -> None:
        self.actor, self.asked = actor, asked
        self.answer: Future[Any] = Future()
        self.future = lambda: self.answer


class Actor:
    """Stands for an actor of Ray, which begins once a node has room for it."""

    def __init__(self, ray: Ray, cpu: float) -> None:
        self.ray, self.cpu = ray, cpu
        self.node: int | None = None
        self.begin = SimpleNamespace(remote=lambda setup: self.ask("begin"))
        self.run = SimpleNamespace(remote=lambda *parts: self.ask("run"))

    def ask(self, what: str) -> Reference:
        self.ray.references.append(Reference(self, what))
        return self.ray.references[-1]


class Ray:
    """Stands for Ray, on nodes with so many CPUs each, and for the thread on which its answers arrive."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *nodes: float, most: float | None = None) -> None:
        self.free = list(nodes)
        self.actors: list[Actor] = []
        self.references: list[Reference] = []
        self.posted: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self.ended: list[str] = []
        monkeypatch.setattr(ray_engine, "find_spec", lambda name: object())
        self.engine = RayEngine(None, cpu=most)
        self.engine._ray = self
        self.there: list[float] = list(nodes)
        self.engine.begin(lambda fn, *args: self.posted.append((fn, args)))
        self.engine._look()

    def nodes(self) -> list[dict[str, Any]]:
        head = {"Alive": True, "Resources": {"memory": 100.0}}
        gone = {"Alive": False, "Resources": {"CPU": 64.0}}
        return [head, gone, *({"Alive": True, "Resources": {"CPU": cpu}} for cpu in self.there)]

    def change(self, *nodes: float) -> None:
        """Have the engine see that there are other nodes now."""
        self.there = self.free = list(nodes)
        self.engine._look()
        self.settle()

    def remote(self, _: type[Any]) -> Ray:
        return self

    def options(self, *, num_cpus: float, **_: Any) -> Any:
        return SimpleNamespace(remote=lambda: self.actor(num_cpus))

    def actor(self, cpu: float) -> Actor:
        self.actors.append(Actor(self, cpu))
        return self.actors[-1]

    def kill(self, actor: Actor) -> None:
        self.actors.remove(actor)
        if actor.node is not None:
            self.free[actor.node] += actor.cpu

    def run(self, name: str, cpu: float) -> None:
        self.engine.run(Job(name, None, cpu, 0, [b""]), lambda outcome: self.ended.append(name))
        self.settle()

    def end(self, cpu: float) -> None:
        """Have the first job end that runs in an actor of a size."""
        running = (each for each in self.references if (each.asked, each.actor.cpu) == ("run", cpu))
        next(each for each in running if not each.answer.done()).answer.set_result((1, [b"made"]))
        self.settle()

    def settle(self) -> None:
        """Have actors begin for which there is room, and all answers arrive, until nothing moves."""
        while True:
            for reference in self.references:
                if reference.asked == "begin" and not reference.answer.done() and self.fits(reference.actor):
                    reference.answer.set_result(Found("elsewhere", "host", f"node {reference.actor.node}", 1))
            if not self.posted:
                return
            fn, args = self.posted.popleft()
            fn(*args)

    def fits(self, actor: Actor) -> bool:
        node = max(range(len(self.free)), key=self.free.__getitem__)
        if self.free[node] < actor.cpu:
            return False
        self.free[node] -= actor.cpu
        actor.node = node
        return True


def test_a_small_task_that_ends_gives_its_place_to_a_large_one_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = Ray(monkeypatch, 2, 2)
    ray.run("small", 1)
    ray.run("other", 1)
    ray.run("large", 2)  # two of four are free, but on no node
    ray.end(1)
    ray.end(2)
    assert ray.ended == ["small", "large"]
    assert sorted(actor.cpu for actor in ray.actors) == [1, 2]  # whose place nobody needs stays


def test_a_worker_that_comes_too_late_gives_its_place_to_a_large_task_that_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ray = Ray(monkeypatch, 3)
    ray.run("first", 1)
    ray.run("other", 2)
    ray.run("second", 1)  # waits for a worker, for which there is no room
    ray.run("large", 3)
    ray.end(1)
    ray.end(1)  # by the worker that there was, whose place the late one takes
    ray.end(2)
    ray.end(3)
    assert ray.ended == ["first", "second", "other", "large"]


def test_nodes_that_come_and_go_change_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = Ray(monkeypatch, 2, 2)
    assert ray.engine.capacity() == Capacity(4, 2)
    ray.change(2, 2, 4)
    assert ray.engine.capacity() == Capacity(8, 3)
    ray.change(2)
    assert ray.engine.capacity() == Capacity(2, 1)
    ray.change()
    assert ray.engine.capacity() == Capacity(2, 1), "work waits for a node, it is not refused"


def test_the_nodes_are_looked_at_again_when_that_is_asked_for_and_one_look_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray_engine, "find_spec", lambda name: object())
    looks: list[int] = []
    looked, go_on = threading.Event(), threading.Event()

    def look(_: RayEngine) -> None:
        looks.append(1)
        looked.set()
        go_on.wait(60)
        raise ConnectionError("no head")

    monkeypatch.setattr(RayEngine, "_connected", lambda engine: object())
    monkeypatch.setattr(RayEngine, "_look", look)
    own, shared = RayEngine(None, cpu=2), RayEngine("auto", cpu=None)
    own.connect()
    own.look()
    own.disconnect()
    assert not looks, "one of our own stays as it is"
    shared.connect()
    shared.look()
    assert looked.wait(60)
    shared.look()
    shared.look()
    go_on.set()
    shared.disconnect()
    assert len(looks) == 1, "and a look that fails ends nothing"


def test_no_more_is_used_than_was_asked_for_whatever_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = Ray(monkeypatch, 2, most=3)
    ray.change(2, 2, 2)
    assert ray.engine.capacity() == Capacity(3, 3)


def test_a_task_that_waits_for_a_node_that_is_gone_takes_the_largest_that_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ray = Ray(monkeypatch, 4)
    ray.run("first", 4)
    ray.run("second", 4)
    assert [actor.cpu for actor in ray.actors] == [4, 4]
    ray.change(1, 1)
    assert sorted(actor.cpu for actor in ray.actors) == [1, 4], "what runs on a node is Ray's affair"
    ray.end(1)
    assert ray.ended == ["second"]


def test_there_is_one_worker_of_a_name_for_each_node_that_there_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = Ray(monkeypatch, 1)
    for number in range(3):
        ray.engine.run(Job(f"job {number}", "embedder", 0, 0, [b""]), lambda outcome: None)
    ray.settle()
    assert len(ray.actors) == 1
    ray.change(1, 1)
    assert len(ray.actors) == 2

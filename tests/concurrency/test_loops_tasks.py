"""What runs on a loop, who started it, and what becomes of what is left behind."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.loops import EventLoopManager, LoopThread

from .engines import engine

if TYPE_CHECKING:
    from tenire import ConcurrencyManager
    from tenire.concurrency.loops import TrackedTask
    from tenire.testing import SimLoop

LEFT: set[asyncio.Task[Any]] = set()


@pytest.fixture(autouse=True)
def _forget() -> None:
    LEFT.clear()


async def leave_behind(name: str) -> None:
    """End, but leave a task running that nobody awaits."""
    LEFT.add(asyncio.get_running_loop().create_task(asyncio.sleep(1000), name=name))


def named(tasks: list[TrackedTask], name: str) -> TrackedTask:
    [found] = [task for task in tasks if task.name == name]
    return found


def test_each_task_is_known_with_its_owner_its_age_and_its_state(sim_loop: SimLoop) -> None:
    from tenire import ConcurrencyManager

    async def parent() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(1000), name="child")

    async def main() -> None:
        async with ConcurrencyManager(cpu=1, memory=100, clock=sim_loop.clock) as manager:
            handle = manager.submit(parent, name="crawl")
            await asyncio.sleep(5)
            tasks = manager.loops.tasks()
            task = named(tasks, "child")
            assert (task.owner, task.age, task.state, task.orphan) == ("crawl", 5.0, "waiting", False)
            assert str(task) == "task 'child' of 'crawl': waiting, age 5.0 s"
            assert named(tasks, "crawl").owner == "crawl"
            [own] = [task for task in tasks if task.task is asyncio.current_task()]
            assert (own.owner, own.age, own.state) == (None, None, "running")
            handle.cancel()

    sim_loop.run_until_complete(main())


def test_the_stack_goes_down_to_where_it_waits() -> None:
    async def inner() -> None:
        await asyncio.sleep(1000)

    async def outer() -> None:
        await inner()

    async def scenario(manager: ConcurrencyManager) -> list[str]:
        handle = manager.submit(outer, name="deep")
        await asyncio.sleep(0.001)  # for Python 3.11, which needs one more turn to start it
        stack = named(manager.loops.tasks(), "deep").stack()
        handle.cancel()
        return [line.rpartition(" in ")[2].rpartition(".")[2] for line in stack]

    assert engine(scenario) == ["outer", "inner", "sleep"]


def test_a_call_from_a_thread_owns_what_it_starts_and_not_the_other_way_round() -> None:
    """A thread that runs a task of the engine calls into the loop: the innermost counts."""
    begun = threading.Event()

    async def called(manager: ConcurrencyManager) -> None:
        manager.submit(asyncio.sleep, 1000, name="submitted by the call")
        LEFT.add(asyncio.get_running_loop().create_task(asyncio.sleep(1000), name="started by the call"))
        begun.set()
        await asyncio.sleep(1000)

    def on_thread(manager: ConcurrencyManager) -> None:
        manager.loops.spawn(called, manager, name="the call")
        assert begun.wait(5)

    async def scenario(manager: ConcurrencyManager) -> dict[str, tuple[str | None, bool]]:
        await manager.submit(on_thread, manager, name="on the thread")
        await asyncio.sleep(0)
        tasks = {task.name: (task.owner, task.orphan) for task in manager.loops.tasks()}
        await manager.shutdown(cancel=True)
        return tasks

    tasks = engine(scenario)
    assert tasks["the call"] == ("the call", False)
    assert tasks["started by the call"] == ("the call", False)
    assert tasks["submitted by the call"] == ("submitted by the call", False)


def test_what_a_task_left_running_is_found_and_ends_with_the_engine(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tenire.loops")

    async def scenario(manager: ConcurrencyManager) -> TrackedTask:
        await manager.submit(leave_behind, "left", name="careless")
        await leave_behind("the program's own")
        assert not named(manager.loops.tasks(), "the program's own").orphan
        [orphan] = manager.loops.orphans()
        return orphan

    orphan = engine(scenario)
    assert (orphan.name, orphan.owner, orphan.orphan) == ("left", "careless", True)
    assert orphan.task.cancelled()
    [message] = [record.message for record in caplog.records]
    assert message.startswith("task 'left' of 'careless': waiting, orphan, age ")
    assert message.endswith("cancelled, since the engine closes")


def test_the_tasks_of_the_program_and_of_another_engine_are_left_alone() -> None:
    from tenire import ConcurrencyManager

    async def main() -> list[bool]:
        async with ConcurrencyManager(cpu=1, memory=1) as outer:
            await outer.submit(leave_behind, "of the outer one")
            await leave_behind("of the program")
            async with ConcurrencyManager(cpu=1, memory=1) as inner:
                await inner.submit(leave_behind, "of the inner one")
                assert [task.name for task in inner.loops.orphans()] == ["of the inner one"]
            ended = {task.get_name(): task.done() for task in LEFT}
            assert ended == {"of the outer one": False, "of the program": False, "of the inner one": True}
        return [task.done() for task in LEFT if task.get_name() == "of the program"]

    assert asyncio.run(main()) == [False]


def test_what_is_started_in_a_context_of_its_own_outlives_the_engine() -> None:
    async def keep() -> None:
        LEFT.add(
            asyncio.get_running_loop().create_task(asyncio.sleep(1000), name="kept", context=contextvars.Context())
        )

    async def main() -> bool:
        from tenire import ConcurrencyManager

        async with ConcurrencyManager(cpu=1, memory=1) as manager:
            await manager.submit(keep)
            assert manager.loops.orphans() == []
        return LEFT.copy().pop().done()

    assert not asyncio.run(main())


async def stubborn(times: int) -> None:
    """Swallow that many cancellations."""
    for _ in range(times):
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            continue
    await asyncio.sleep(1000)


@pytest.mark.parametrize(("times", "given_up"), [(0, False), (2, False), (5, True), (8, True)])
def test_what_does_not_end_is_cancelled_again_and_then_given_up_by_name(
    times: int, given_up: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with LoopThread("side", SYSTEM_CLOCK) as loop:
        future = loop.spawn(stubborn, times, name="stubborn")
        loop.call(int)
    assert future.done()
    assert caplog.text.count("'stubborn' goes on though it was cancelled") == given_up, "named once"
    assert ("in stubborn" in caplog.text) == given_up


def test_an_error_while_it_is_cancelled_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def breaks() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            raise ValueError("no way to end")

    with LoopThread("side", SYSTEM_CLOCK) as loop:
        loop.wait(leave_behind("left"))
        loop.call(lambda: LEFT.add(asyncio.get_running_loop().create_task(breaks(), name="breaks")))
    assert "task 'breaks' failed while it was cancelled: ValueError: no way to end" in caplog.text


def test_tasks_can_be_looked_at_from_any_thread() -> None:
    with EventLoopManager() as loops:
        loops.spawn(asyncio.sleep, 1000, name="one")
        with loops.start("other") as other:
            other.spawn(asyncio.sleep, 1000, name="two")
            assert {"one", "two"} <= {task.name for task in loops.tasks()}
            assert list(loops.owners()) == ["main", "other"]


class Stalled:
    """A loop that stands still while the block runs, with a task on it that runs and an orphan that waits."""

    def __init__(self, loop: LoopThread) -> None:
        self.loop = loop
        self._stands, self._release = threading.Event(), threading.Event()

    async def _stand_still(self) -> None:
        self._stands.set()
        self._release.wait(10)

    def __enter__(self) -> Stalled:
        self.loop.wait(leave_behind("left"))
        self.loop.spawn(asyncio.sleep, 1000, name="waits")
        self._end = self.loop.spawn(self._stand_still, name="stands still")
        assert self._stands.wait(5)
        return self

    def __exit__(self, *_: object) -> None:
        self._release.set()
        self._end.result(5)


STALLED = {"left": ("waiting", True), "waits": ("waiting", False), "stands still": ("running", False)}


def seen(tasks: list[TrackedTask]) -> dict[str, tuple[str, bool]]:
    return {task.name: (task.state, task.orphan) for task in tasks if task.name in STALLED}


@pytest.mark.blocking_allowed("the loop is stalled on purpose")
@pytest.mark.parametrize("draining", [False, True])
def test_a_loop_that_stands_still_is_looked_at_from_outside(monkeypatch: pytest.MonkeyPatch, *, draining: bool) -> None:
    monkeypatch.setattr("tenire.concurrency.loops.manager._ANSWER_S", 0.01)
    with EventLoopManager() as loops, Stalled(loops.start("other")) as stalled:
        if draining:
            stalled.loop.drain()
        assert seen(loops.tasks()) == STALLED
        assert [task.name for task in loops.orphans()] == ["left"]


@pytest.mark.blocking_allowed("the loop is stalled on purpose")
def test_the_stack_of_one_that_runs_goes_down_to_what_it_is_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenire.concurrency.loops.manager._ANSWER_S", 0.01)
    with EventLoopManager() as loops, Stalled(loops.start("other")):
        stack = named(loops.tasks(), "stands still").stack()
    assert [line.rpartition(" in ")[2] for line in stack] == ["Stalled._stand_still", "Event.wait", "Condition.wait"]


def test_one_that_looks_at_itself_stands_where_it_looks() -> None:
    async def inner(manager: ConcurrencyManager) -> list[str]:
        return named(manager.loops.tasks(), "looks").stack()

    async def outer(manager: ConcurrencyManager) -> list[str]:
        return await inner(manager)

    async def scenario(manager: ConcurrencyManager) -> list[str]:
        stack = await manager.submit(outer, manager, name="looks")
        return [line.rpartition(" in ")[2].rpartition(".")[2] for line in stack]

    assert engine(scenario) == ["outer", "inner"]


@pytest.mark.blocking_allowed("the other loop is stalled on purpose")
def test_who_looks_from_a_loop_does_not_wait_for_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(*_: object) -> bool:
        raise AssertionError("it waited")

    async def main() -> None:
        async with EventLoopManager() as loops:
            with Stalled(loops.start("other")), monkeypatch.context() as patched:
                patched.setattr("tenire.concurrency.loops.manager.wait_set", wait)
                assert seen(loops.tasks()) == STALLED
                assert [task.name for task in loops.orphans()] == ["left"]

    asyncio.run(main())


def test_a_loop_that_drains_answers_and_so_does_one_that_is_closed() -> None:
    with EventLoopManager() as loops, loops.start("other") as other:
        other.wait(leave_behind("left"))
        other.drain()
        assert seen(loops.tasks()) == {"left": ("waiting", True)}
        assert [task.name for task in loops.orphans()] == ["left"]
        other.close()
        assert seen(loops.tasks()) == {}


def test_what_ends_while_another_thread_looks_is_no_orphan(monkeypatch: pytest.MonkeyPatch) -> None:
    with EventLoopManager() as loops, loops.start("other") as other:
        call = other.spawn(asyncio.sleep, 1000, name="ends")
        other.call(int)
        ended = named(other.tasks(), "ends").task
        call.cancel()
        other.call(asyncio.wait, [ended])
        with monkeypatch.context() as patched:
            patched.setattr(asyncio, "all_tasks", lambda _: {ended})
            assert other.orphans() == []
            assert not named(other.tasks(), "ends").orphan

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from tenire import ConcurrencyManager, Resources, Retry
from tenire.concurrency.ended_tasks import MOST_KEPT
from tenire.errors import TaskTimeoutError

from .engines import engine

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenire.testing import SimLoop


def run(sim_loop: SimLoop, scenario: Callable[[ConcurrencyManager], Awaitable[Any]]) -> None:
    async def main() -> None:
        async with ConcurrencyManager(clock=sim_loop.clock, cpu=1, memory=1, seed=1) as manager:
            await scenario(manager)

    sim_loop.run_until_complete(main())


async def fail() -> None:
    raise ValueError("broken")


def test_each_way_of_ending_is_seen_once_and_noted_once(sim_loop: SimLoop) -> None:
    seen: list[str] = []

    async def scenario(manager: ConcurrencyManager) -> None:
        def submit(fn: Any, *args: Any, name: str, **options: Any) -> Any:
            handle = manager.submit(fn, *args, name=name, pipeline="p", **options)
            handle.add_done_callback(lambda handle: seen.append(handle.name))
            return handle

        slot = Resources(cpu=1)
        ends = [
            submit(asyncio.sleep, 2, name="done"),
            submit(fail, name="failed"),
            submit(fail, name="failed again", retry=Retry(attempts=3)),
            submit(asyncio.sleep, 100, name="too late", deadline=5),
            submit(asyncio.sleep, 7, name="busy", needs=slot),
            submit(asyncio.sleep, 1, name="never started", needs=slot, deadline=3, priority="low"),
        ]
        ends.append(submit(asyncio.sleep, 1, name="doomed", after=[ends[1]]))
        cancelled = submit(asyncio.sleep, 100, name="cancelled")
        waiting = submit(asyncio.sleep, 100, name="cancelled in the queue", needs=slot)
        await asyncio.sleep(1)
        assert cancelled.cancel()
        assert waiting.cancel()
        await asyncio.sleep(20)
        for handle in (*ends, cancelled, waiting):
            assert handle.done()
            manager.orchestrator.unseen.discard(handle)
        ended = {each.name: each for each in manager.async_tasks.ended()}
        assert len(manager.async_tasks.ended()) == len(ended) == 9
        assert sorted(seen) == sorted(ended)
        assert {name: each.state for name, each in ended.items()} == {
            "done": "done", "busy": "done", "failed": "failed", "failed again": "failed", "too late": "failed",
            "never started": "failed", "doomed": "failed", "cancelled": "cancelled",
            "cancelled in the queue": "cancelled",
        }  # fmt: skip
        assert (ended["done"].seconds, ended["done"].error, ended["done"].pipeline) == (2.0, None, "p")
        assert ended["done"].number == ends[0].seq
        assert (ended["failed"].error, ended["failed again"].attempts) == ("ValueError: broken", 3)
        assert "too late" in str(ended["too late"].error)
        for name in ("never started", "doomed", "cancelled in the queue"):
            assert (ended[name].seconds, ended[name].attempts) == (None, 0)
        assert ended["cancelled"].error is None
        times = [each.ended_at for each in manager.async_tasks.ended()]
        assert times == sorted(times)

    run(sim_loop, scenario)


def test_the_last_are_kept_and_neither_values_nor_errors(sim_loop: SimLoop) -> None:
    class Value:
        pass

    class OwnError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("not even this")

    values: list[weakref.ref[Any]] = []

    async def value() -> Value:
        made = Value()
        values.append(weakref.ref(made))
        return made

    async def own_error() -> None:
        local = Value()
        values.append(weakref.ref(local))
        raise OwnError

    async def scenario(manager: ConcurrencyManager) -> None:
        handle = manager.submit(own_error)
        await asyncio.sleep(1)
        assert handle.exception() is not None
        del handle
        for number in range(MOST_KEPT):
            manager.submit(value, name=f"t{number}")
        await asyncio.sleep(1)
        kept = manager.async_tasks.ended()
        assert [each.name for each in kept] == [f"t{number}" for number in range(MOST_KEPT)]
        gc.collect()
        assert not [each for each in values if each() is not None]

    run(sim_loop, scenario)


def test_an_error_that_cannot_tell_itself_is_kept_by_its_kind(sim_loop: SimLoop) -> None:
    class OwnError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("not even this")

    async def own_error() -> None:
        raise OwnError

    async def scenario(manager: ConcurrencyManager) -> None:
        handle = manager.submit(own_error)
        await asyncio.sleep(1)
        assert handle.exception() is not None
        assert manager.async_tasks.ended()[0].error == "OwnError"

    run(sim_loop, scenario)


def test_permits_are_no_tasks(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        async with manager.orchestrator.permit(Resources(cpu=1)):
            await asyncio.sleep(1)
        await asyncio.sleep(1)
        assert manager.async_tasks.ended() == []

    run(sim_loop, scenario)


def test_a_thread_that_is_given_up_is_noted_when_its_task_ends() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        release = threading.Event()
        handle = manager.submit(release.wait, 5, name="stuck")
        await asyncio.sleep(0.01)
        handle.cancel()
        await asyncio.sleep(0)
        (ended,) = manager.async_tasks.ended()
        assert (ended.name, ended.state) == ("stuck", "cancelled")
        release.set()
        await manager.submit(asyncio.sleep, 0)
        await manager.orchestrator.wait_idle()
        assert [each.name for each in manager.async_tasks.ended()] == ["stuck", "sleep"]

    engine(scenario)


def test_permits_are_no_tasks_however_they_end(sim_loop: SimLoop) -> None:
    async def ask(manager: ConcurrencyManager, deadline: float) -> None:
        async with manager.orchestrator.permit(Resources(cpu=1), name="core", deadline=deadline):
            await asyncio.sleep(5)

    async def scenario(manager: ConcurrencyManager) -> None:
        asked = [asyncio.create_task(ask(manager, 100))]
        await asyncio.sleep(1)
        asked += [asyncio.create_task(ask(manager, deadline)) for deadline in (2, 100)]
        await asyncio.sleep(1)
        asked[2].cancel()
        await asyncio.wait(asked)
        assert asked[2].cancelled()
        with pytest.raises(TaskTimeoutError, match="permit 'core' missed its deadline"):
            await asked[1]
        assert manager.async_tasks.ended() == []

    run(sim_loop, scenario)

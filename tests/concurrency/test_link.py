from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from tests.concurrency import process_jobs
from tests.concurrency.engines import engine, eventually

from tenire.concurrency.sendable import reference_to
from tenire.errors import WorkerDiedError

if TYPE_CHECKING:
    from tenire import ConcurrencyManager
    from tenire.concurrency.pools.link import WorkerLink

LARGE = "x" * 100_000

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there every job goes through the thread")


def links(manager: ConcurrencyManager) -> list[WorkerLink]:
    return manager.thread_pool._processes.links


def test_a_small_job_goes_and_comes_on_the_loop_and_others_through_the_thread() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        async def through_thread(*args: Any) -> bool:
            handle = manager.submit(process_jobs.same, *args, on="process")
            await asyncio.sleep(0)
            (link,) = links(manager)
            assert link._on_loop != bool(link._with_thread)
            by_thread = link._with_thread > 0
            assert await handle == args[0]
            assert not link._on_loop
            assert not link._with_thread
            return by_thread

        assert await through_thread(1)  # there is no process yet
        assert not await through_thread(1)
        assert not await through_thread("a", (1, {"b": None}))
        assert await through_thread(LARGE)
        assert not await through_thread(2)
        assert await through_thread(1, process_jobs.Point(1, 2))

    engine(scenario, cpu=1)


def test_a_large_value_of_a_small_job_is_read_by_the_thread() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        for size in (1, 1_000_000, 2, 100_000):
            assert await manager.submit(bytes, size, on="process") == bytes(size)

    engine(scenario, cpu=1)


@pytest.mark.parametrize("fn", [process_jobs.Point(1, 2).moved, partial(process_jobs.Point, 2)])
def test_a_function_that_carries_an_object_works_as_well(fn: Any) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        for _ in range(5):
            assert await manager.submit(fn, 3, on="process") == fn(3)

    engine(scenario, cpu=1)


def test_objects_of_unknown_classes_are_pickled_on_the_thread_until_they_are_known_to_be_quick() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        await manager.submit(process_jobs.own_pid, on="process")
        reference = reference_to(process_jobs.same)
        watched = process_jobs.Watched.threads
        watched.clear()
        async with asyncio.timeout(60):  # on a busy machine one may seem slow now and then
            while watched[-1:] != [threading.get_ident()]:
                await manager.submit(process_jobs.same, 1, process_jobs.Watched(), on="process")
        assert len(watched) > 3
        assert threading.get_ident() not in watched[:3]
        # A large one is given up on the loop, goes through the thread, and so does the next.
        watched.clear()
        assert await manager.submit(process_jobs.same, 1, process_jobs.Watched(100_000), on="process") == 1
        assert watched[-1] != threading.get_ident()
        assert not links(manager)[0]._known.calls.trusts(reference)
        watched.clear()
        await manager.submit(process_jobs.same, 1, process_jobs.Watched(), on="process")
        assert threading.get_ident() not in watched

    engine(scenario, cpu=1)


def test_what_is_large_is_never_tried_on_the_loop() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        process_jobs.Watched.threads.clear()
        for _ in range(6):
            await manager.submit(process_jobs.same, 1, process_jobs.Watched(100_000), on="process")
        assert threading.get_ident() not in process_jobs.Watched.threads

    engine(scenario, cpu=1)


def test_values_of_unknown_classes_are_unpickled_on_the_thread_until_they_are_known_to_be_quick() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        await manager.submit(process_jobs.own_pid, on="process")
        made = process_jobs.Watched.made
        made.clear()
        async with asyncio.timeout(60):
            while made[-1:] != [threading.get_ident()]:
                await manager.submit(process_jobs.Watched, on="process")
        assert len(made) > 3
        assert threading.get_ident() not in made[:3]

    engine(scenario, cpu=1)


def test_a_named_worker_keeps_the_order_of_its_jobs_whatever_their_size() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        run = partial(manager.submit, on="process", worker="own")
        await run(process_jobs.own_pid)
        fillings = ["", "", LARGE, process_jobs.Point(0, 0), "", LARGE, LARGE, "", ""] * 4
        for handle in [run(process_jobs.remember, number, filling) for number, filling in enumerate(fillings)]:
            await handle
        assert await run(process_jobs.remembered) == list(range(len(fillings)))

    engine(scenario)


@pytest.mark.parametrize("warm", [False, True])
def test_a_job_that_is_cancelled_while_it_waits_for_its_worker_never_runs(warm: bool) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        run = partial(manager.submit, on="process", worker="own")
        if warm:
            await run(process_jobs.own_pid)
        first, second, third = (
            run(process_jobs.hold, 1, 0.5),
            run(process_jobs.remember, 2),
            run(process_jobs.remember, 3),
        )
        await eventually(lambda: bool(links(manager)) and links(manager)[0].job is first)
        second.cancel()
        assert await first == 1
        await third
        assert await run(process_jobs.remembered) == [3]

    engine(scenario)


def test_a_worker_that_dies_while_it_waits_for_work_costs_no_job() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        for last, args in ((1, (1,)), (2, (LARGE,)), (3, (process_jobs.Point(1, 2),))):
            pid = await manager.submit(process_jobs.own_pid, on="process")
            assert await manager.submit(process_jobs.own_pid, on="process") == pid  # once on the loop
            os.kill(pid, signal.SIGKILL)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222 - the loop must not turn meanwhile
            assert await manager.submit(process_jobs.same, *args, on="process") == args[0]
            assert manager.thread_pool.statistics().replaced == last

    engine(scenario, cpu=1)


def test_a_worker_whose_end_somebody_else_has_waited_for_is_replaced_too(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        pid = await manager.submit(process_jobs.own_pid, on="process")
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)  # noqa: ASYNC222 - as a program does that waits for all its children
        assert await manager.submit(process_jobs.same, 1, on="process") == 1
        assert manager.thread_pool.statistics().replaced == 1
        assert manager.supervisor.statistics()["thread_pool"].restarts == 0

    engine(scenario, cpu=1)
    assert "component" not in caplog.text


def test_a_worker_that_dies_in_silence_is_buried_at_once() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        pid = await manager.submit(process_jobs.own_pid, on="process")
        assert await manager.submit(process_jobs.own_pid, on="process") == pid
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: manager.thread_pool.statistics().processes == {})
        assert await manager.submit(process_jobs.own_pid, on="process") != pid

    engine(scenario, cpu=1)


def test_jobs_that_wait_at_a_named_worker_survive_its_death() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        run = partial(manager.submit, on="process", worker="own")
        pid = await run(process_jobs.own_pid)
        handles = [run(process_jobs.hold, 1, 30.0), run(process_jobs.same, 1), run(process_jobs.same, LARGE)]
        await eventually(lambda: links(manager)[0].job is handles[0])
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(WorkerDiedError):
            await handles[0]
        assert [await handle for handle in handles[1:]] == [1, LARGE]

    engine(scenario)


def test_a_loop_that_cannot_watch_files_leaves_everything_to_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise NotImplementedError

    async def scenario(manager: ConcurrencyManager) -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "add_reader", refuse)
        for number in range(4):
            assert await manager.submit(process_jobs.same, number, on="process") == number
        (link,) = links(manager)
        assert not link._can_watch
        assert link._watched is None

    engine(scenario, cpu=1)


def test_what_the_socket_does_not_take_at_once_is_sent_by_the_thread() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        await manager.submit(process_jobs.own_pid, on="process")
        (link,) = links(manager)
        assert link._talk.child is not None
        tiny = socket.socket(fileno=os.dup(link._talk.child.connection.fileno()))
        with tiny:
            tiny.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        texts = ["y" * 8_000] * 3
        for _ in range(5):
            assert await manager.submit(process_jobs.same, texts, on="process") == texts

    engine(scenario, cpu=1)


def test_closing_waits_for_small_jobs_that_are_under_way() -> None:
    ended = []

    async def scenario(manager: ConcurrencyManager) -> None:
        run = partial(manager.submit, on="process", worker="own")
        await run(process_jobs.own_pid)
        for number in range(3):
            run(process_jobs.same, number).add_done_callback(lambda handle: ended.append(handle.result()))

    engine(scenario)
    assert ended == [0, 1, 2]

"""Workers that leak, are stopped, take all memory, or leave programs behind."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from tests.concurrency import jobs
from tests.concurrency.engines import engine, eventually

import tenire.concurrency.manager as manager_module
from tenire import ConcurrencyManager, ConfigError, Retry
from tenire.concurrency.pools import ThreadPoolManager, watch
from tenire.concurrency.pools.memory import joined, parted
from tenire.core.admission import RESIDENT
from tenire.errors import WorkerDiedError
from tenire.observe.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MEBI = 1 << 20

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither these signals nor process groups")


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_two_amounts_travel_as_one_number() -> None:
    assert parted(joined(80 * MEBI + 5, 300 * MEBI)) == (80 * MEBI, 300 * MEBI)
    assert parted(joined(0, 1 << 10)) == (0, 1 << 10)
    assert joined(1 << 60, 1 << 60) < 1 << 64


def test_a_worker_that_keeps_too_much_is_replaced_after_its_task() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        pid = await manager.submit(jobs.pid, on="process")
        assert await manager.submit(jobs.leak, 150 * MEBI, on="process") == pid
        statistics = manager.thread_pool.statistics()
        assert statistics.recycled == 1
        assert await manager.submit(jobs.pid, on="process") != pid
        assert gone(pid)
        # One that keeps little stays, and so does a named one, which keeps it on purpose.
        pid = await manager.submit(jobs.leak, 1 * MEBI, on="process")
        assert await manager.submit(jobs.pid, on="process") == pid
        pid = await manager.submit(jobs.leak, 150 * MEBI, on="process", worker="model")
        assert await manager.submit(jobs.pid, on="process", worker="model") == pid
        statistics = manager.thread_pool.statistics()
        assert statistics.recycled == 1
        assert 150 * MEBI < statistics.memory["model"] < 400 * MEBI

    engine(scenario, cpu=1, worker_memory=120 * MEBI)


def test_what_a_task_gets_and_returns_is_not_counted_as_kept() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        large = bytes(64 * MEBI)
        pids = set()
        for _ in range(3):
            assert len(await manager.submit(jobs.after, large, 0.03, on="process")) == len(large)
            pids.add(await manager.submit(jobs.pid, on="process"))
        assert len(pids) == 1

    engine(scenario, cpu=1, worker_memory=64 * MEBI)


def test_the_one_that_takes_all_memory_is_ended_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    pools = partial(ThreadPoolManager)
    monkeypatch.setattr(
        manager_module,
        "ThreadPoolManager",
        lambda loop, **options: pools(loop, **{**options, "all_workers_memory": 300 * MEBI}),
    )

    async def scenario(manager: ConcurrencyManager) -> None:
        other = manager.submit(jobs.nap, 2.5, on="process")
        hog = manager.submit(jobs.hog, 400 * MEBI, on="process", name="hog")
        with pytest.raises(WorkerDiedError, match=r"'hog' ended while it ran \(it took \d+ MiB, and all workers"):
            await hog
        assert await other == 2.5
        assert await manager.submit(jobs.square, 3, on="process") == 9

    engine(scenario)


def test_an_engine_that_was_told_all_it_has_finds_the_memory_of_the_machine_for_its_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(cores=2, affinity=2, quota=None, memory=1000 * MEBI, memory_free=0, memory_limit=500 * MEBI)
    monkeypatch.setattr(watch, "read_machine", lambda: machine)
    monkeypatch.setattr(watch, "BUSY_S", 0.01)

    async def scenario(manager: ConcurrencyManager) -> None:
        history = manager.orchestrator.scheduler.history
        for _ in range(20):
            history.record_memory("large", 250 * MEBI)
        assert RESIDENT not in manager.snapshot().resources
        await manager.submit(jobs.pid, on="process")
        await eventually(lambda: RESIDENT in manager.snapshot().resources)
        assert manager.snapshot().resources[RESIDENT].capacity == 400 * MEBI
        handles = [manager.submit(jobs.nap, 60, on="process", name="large") for _ in range(2)]
        await eventually(lambda: handles[0].state_name() == "running")
        assert handles[1].explain().gate == "resource"
        assert f"needs {250 * MEBI:,} bytes of resident memory" in handles[1].explain().reason
        for handle in handles:
            handle.cancel()

    engine(scenario)


@posix
def test_a_stopped_worker_at_work_is_noticed_and_its_task_may_be_tried_again(tmp_path: Path) -> None:
    marker = tmp_path / "pid"

    async def scenario(manager: ConcurrencyManager) -> None:
        hopeless = manager.submit(jobs.hang, str(tmp_path / "other"), on="process", name="hopeless")
        handle = manager.submit(jobs.hang_once, str(marker), on="process", retry=Retry(attempts=2, backoff=0))
        for path in (marker, tmp_path / "other"):
            await eventually(lambda path=path: path.exists() and path.read_text() != "")  # type: ignore[misc]
            os.kill(int(path.read_text()), signal.SIGSTOP)
        assert await handle == "second try"
        with pytest.raises(WorkerDiedError, match=r"it had been stopped \(SIGSTOP\)"):
            await hopeless

    engine(scenario)


@posix
@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
@pytest.mark.parametrize("tasks", [1, 3])  # the first task goes another way than later ones
def test_a_worker_that_ends_or_stops_without_work_is_replaced(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals, tasks: int
) -> None:
    monkeypatch.setattr("tenire.concurrency.pools.watch.IDLE_S", 0.1)

    async def scenario(manager: ConcurrencyManager) -> None:
        for _ in range(tasks):
            pid = await manager.submit(jobs.pid, on="process")
        os.kill(pid, number)
        await eventually(lambda: not manager.thread_pool.statistics().processes)
        assert await manager.submit(jobs.pid, on="process") != pid

    engine(scenario, cpu=1)


@posix
@pytest.mark.parametrize(
    "no_file",
    [
        OSError(errno.EMFILE, os.strerror(errno.EMFILE), "/proc/1/stat"),
        ImportError("psutil/_psutil_linux.abi3.so: cannot open shared object file: Too many open files"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_while_no_file_can_be_opened_workers_go_on_unwatched(
    no_file: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failed: list[int] = []
    look_at = watch.look_at

    def looks(pids: Iterable[int]) -> Any:
        if len(failed) < 20:
            failed.append(1)
            raise no_file
        return look_at(pids)

    monkeypatch.setattr(watch, "BUSY_S", 0.01)
    monkeypatch.setattr(watch, "IDLE_S", 0.01)
    monkeypatch.setattr(watch, "look_at", looks)

    async def scenario(manager: ConcurrencyManager) -> None:
        pid = await manager.submit(jobs.pid, on="process")
        await eventually(lambda: len(failed) == 20)
        assert await manager.submit(jobs.pid, on="process") == pid
        assert manager.supervisor.statistics()["thread_pool"].restarts == 0
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: not manager.thread_pool.statistics().processes)

    engine(scenario, cpu=1)
    assert caplog.text.count("workers cannot be looked at now") == 1


def test_a_look_that_fails_while_the_engine_ends_is_not_complained_of(monkeypatch: pytest.MonkeyPatch) -> None:
    looking, closing = threading.Event(), threading.Event()
    close = watch.PoolWatch.aclose

    def looks(_: Iterable[int]) -> Any:
        looking.set()
        assert closing.wait(60)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async def closes(watching: watch.PoolWatch) -> None:
        closing.set()
        await close(watching)

    monkeypatch.setattr(watch, "BUSY_S", 0.01)
    monkeypatch.setattr(watch, "look_at", looks)
    monkeypatch.setattr(watch.PoolWatch, "aclose", closes)

    async def scenario(manager: ConcurrencyManager) -> None:
        await manager.submit(jobs.pid, on="process")
        await eventually(looking.is_set)

    engine(scenario, cpu=1)  # the guard hears what asyncio complains of


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody tells whether the worker has read its task")
@pytest.mark.parametrize("tasks", [1, 3])
@pytest.mark.parametrize("size", [10, 100_000, 8_000_000])
def test_a_task_that_a_stopped_worker_never_got_runs_in_the_next_one(tasks: int, size: int) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        for _ in range(tasks):
            pid = await manager.submit(jobs.pid, on="process")
        os.kill(pid, signal.SIGSTOP)
        data = bytes(size)
        assert await manager.submit(jobs.after, data, 0.0, on="process") == data
        assert manager.thread_pool.statistics().replaced == 1

    engine(scenario, cpu=1)


@posix
def test_a_worker_that_is_stopped_for_a_moment_stays() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        pid = await manager.submit(jobs.pid, on="process")
        handle = manager.submit(jobs.nap, 1.6, on="process")
        await eventually(lambda: bool(manager.thread_pool.running_since(handle)))
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(0.3)
        os.kill(pid, signal.SIGCONT)
        await handle
        assert await manager.submit(jobs.pid, on="process") == pid

    engine(scenario, cpu=1)


@posix
@pytest.mark.parametrize("how", ["cancel", "kill", "end"])
def test_what_a_task_has_started_ends_with_its_worker(tmp_path: Path, how: str) -> None:
    marker = tmp_path / "pids"

    async def scenario(manager: ConcurrencyManager) -> None:
        if how == "end":
            await manager.submit(jobs.start_a_program, str(marker), False, on="process")
            return
        handle = manager.submit(jobs.start_a_program, str(marker), True, on="process")
        await eventually(lambda: marker.exists() and len(marker.read_text().split()) == 2)
        worker, program = map(int, marker.read_text().split())
        if how == "cancel":
            handle.cancel()
        else:
            os.kill(worker, signal.SIGKILL)
        await eventually(lambda: gone(program))
        with pytest.raises(asyncio.CancelledError if how == "cancel" else WorkerDiedError):
            await handle

    engine(scenario)
    _, program = map(int, marker.read_text().split())
    asyncio.run(eventually(lambda: gone(program)))


def test_fewer_slots_end_workers_and_more_bring_them_back() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        pool = manager.thread_pool
        naps = [manager.submit(jobs.nap, 0.2, on="process") for _ in range(3)]
        busy = manager.submit(jobs.nap, 0.8, on="process")
        for nap in naps:
            await nap
        assert len(pool.statistics().processes) == 4
        pool.resize(0)  # three have nothing to do, one has
        await eventually(lambda: len(pool.statistics().processes) == 1)
        await busy
        await eventually(lambda: len(pool.statistics().processes) == 0)
        pool.resize(4)
        assert await manager.submit(jobs.square, 3, on="process") == 9
        assert len(pool.statistics().processes) == 1

    engine(scenario, cpu=4)


def test_nobody_looks_while_there_is_no_worker() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        before = len(manager.timer)
        await manager.submit(jobs.pid)  # on a thread
        assert len(manager.timer) == before
        await manager.submit(jobs.pid, on="process")
        assert len(manager.timer) == before + 1

    engine(scenario)


@pytest.mark.parametrize("size", [0, -1, float("inf")])
def test_an_impossible_limit_is_refused(size: int) -> None:
    with pytest.raises(ConfigError, match="worker_memory must be a positive number of bytes"):
        ConcurrencyManager(cpu=1, memory=1, worker_memory=size)

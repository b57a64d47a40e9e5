from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING

import psutil
import pytest
from tests.concurrency import jobs
from tests.concurrency.engines import engine, eventually

from tenire import ConcurrencyManager, ConfigError, Resources, Retry, TaskError
from tenire.concurrency.pools import threads as threads_module
from tenire.concurrency.reporting_thread import ReportingThread
from tenire.errors import NoWorkerError, WorkerDiedError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_plain_function_runs_on_a_thread() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        assert await manager.submit(threading.get_ident) != threading.get_ident()

    engine(scenario)


def test_where_the_system_gives_no_thread_a_task_says_so_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with ConcurrencyManager(cpu=1, memory=1000, adaptive=False) as manager:
            with monkeypatch.context() as short:
                short.setattr(threads_module, "ReportingThread", NoThread)
                with pytest.raises(NoWorkerError, match="no thread can be started for task 'sum'") as caught:
                    await manager.submit(sum, [1, 2])
                assert "ulimit -u" in str(caught.value.hint)
            assert await manager.submit(sum, [1, 2]) == 3

    asyncio.run(main())


class NoThread(ReportingThread):
    def start(self) -> None:
        raise RuntimeError("can't start new thread")


def test_at_least_eight_threads_run_at_once_by_default() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        barrier = threading.Barrier(8)
        for handle in [manager.submit(barrier.wait, 10) for _ in range(8)]:
            await handle

    engine(scenario, cpu=1)


def test_cpu_is_honoured_above_the_number_of_cores() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        barrier = threading.Barrier(24)
        for handle in [manager.submit(barrier.wait, 10, needs=Resources(cpu=1)) for _ in range(24)]:
            await handle

    engine(scenario, cpu=24)


def test_a_cancelled_thread_ends_its_handle_at_once_and_keeps_its_slot_until_it_returns() -> None:
    begun, release = threading.Event(), threading.Event()

    async def scenario(manager: ConcurrencyManager) -> None:
        handle = manager.submit(lambda: (begun.set(), release.wait(30)), needs=Resources(cpu=1))
        await eventually(begun.is_set)
        handle.cancel()
        with pytest.raises(asyncio.CancelledError):
            await handle
        assert manager.snapshot().resources["cpu"].held == 1
        release.set()
        await eventually(lambda: manager.snapshot().resources["cpu"].held == 0)

    engine(scenario, cpu=1)


def test_a_thread_that_is_stuck_when_the_engine_closes_is_named(caplog: pytest.LogCaptureFixture) -> None:
    begun, release = threading.Event(), threading.Event()

    async def scenario(manager: ConcurrencyManager) -> None:
        handle = manager.submit(lambda: (begun.set(), release.wait(30)), name="stuck one")
        await eventually(begun.is_set)
        handle.cancel()

    engine(scenario)
    release.set()
    assert "stuck one" in caplog.text
    for thread in threading.enumerate():
        if thread.name.startswith("tenire-thread"):
            thread.join(5)


def test_a_worker_process_is_reused_and_runs_at_lowest_priority() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        pids = {await manager.submit(jobs.pid, on="process") for _ in range(5)}
        assert len(pids) == 1
        assert os.getpid() not in pids
        assert await manager.submit(jobs.square, 7, on="process") == 49
        if sys.platform == "linux":
            assert await manager.submit(jobs.nice, on="process") == 19
            assert await manager.submit(jobs.batch_policy, on="process")
        assert await manager.submit(jobs.run_a_child, on="process") == "child"
        assert len(manager.thread_pool.statistics().processes) == 1

    engine(scenario)


def test_a_big_array_comes_back_writable_and_without_a_second_copy() -> None:
    numpy = pytest.importorskip("numpy")

    async def scenario(manager: ConcurrencyManager) -> None:
        await manager.submit(jobs.count_up, 1, on="process")  # started, numpy imported
        before = psutil.Process().memory_info().rss
        size = 8_000_000
        array = await manager.submit(jobs.count_up, size, on="process")
        grown = psutil.Process().memory_info().rss - before
        assert array.shape == (size,)
        assert array[-1] == size - 1
        array[0] = 5.0
        assert grown < 1.5 * array.nbytes
        assert await manager.submit(jobs.total, numpy.ones(1000), on="process") == 1000.0

    engine(scenario)


def test_an_exception_comes_back_with_the_workers_traceback() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        with pytest.raises(ValueError, match="from afar") as caught:
            await manager.submit(jobs.fail, "from afar", on="process")
        assert "jobs.py" in str(caught.value.__cause__)
        with pytest.raises(SystemExit):
            await manager.submit(jobs.leave, on="process")
        assert await manager.submit(jobs.square, 2, on="process") == 4
        assert manager.thread_pool.statistics().replaced == 0

    engine(scenario)


def test_a_task_whose_worker_died_fails_and_the_worker_is_replaced() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        with pytest.raises(WorkerDiedError, match="killed by signal 9") as caught:
            await manager.submit(jobs.kill_self, on="process", name="suicide")
        assert isinstance(caught.value, TaskError)
        assert caught.value.task == "suicide"
        assert caught.value.exit_code == -9
        assert await manager.submit(jobs.square, 3, on="process") == 9
        assert manager.thread_pool.statistics().replaced == 1

    engine(scenario)


@pytest.mark.parametrize("how", ["fork", "system"])
def test_what_a_worker_has_left_behind_does_not_hide_that_it_died(how: str) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        with pytest.raises(WorkerDiedError, match="killed by signal 9"):
            await asyncio.wait_for(manager.submit(jobs.fork_and_die, how, on="process"), 30)
        assert await manager.submit(jobs.square, 3, on="process") == 9

    engine(scenario)


def test_a_fork_that_comes_back_from_its_function_answers_for_no_other_task() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        worker = await manager.submit(jobs.pid, on="process")
        for number in range(20):
            assert await manager.submit(jobs.fork_and_return, on="process") == worker
            assert await manager.submit(jobs.square, number, on="process") == number * number
        assert manager.thread_pool.statistics().replaced == 0

    engine(scenario, cpu=1)


def test_a_retry_covers_a_dead_worker(tmp_path: Path) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        marker = str(tmp_path / "marker")
        retry = Retry(attempts=2, backoff=0.0, on=(ValueError,))
        assert await manager.submit(jobs.kill_self_once, marker, on="process", retry=retry) == "second try"

    engine(scenario)


@pytest.mark.parametrize("how", ["cancel", "deadline"])
def test_a_hanging_process_is_killed_by_cancel_and_by_its_deadline(tmp_path: Path, how: str) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        marker = tmp_path / "pid"
        await manager.submit(jobs.square, 1, on="process")
        handle = manager.submit(jobs.hang, str(marker), on="process", deadline=1.0 if how == "deadline" else None)
        await eventually(lambda: marker.exists() and marker.read_text() != "")
        if how == "cancel":
            handle.cancel()
            with pytest.raises(asyncio.CancelledError):
                await handle
        else:
            with pytest.raises(TimeoutError):
                await handle
        pid = int(marker.read_text())
        await eventually(lambda: not psutil.pid_exists(pid))
        assert await manager.submit(jobs.square, 3, on="process") == 9
        assert manager.snapshot().resources["cpu"].held == 0

    engine(scenario)


def test_a_process_that_is_nearly_done_at_its_deadline_is_left_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenire.concurrency.stopping._NEARLY_DONE_S", 60.0)

    async def scenario(manager: ConcurrencyManager) -> None:
        worker = await manager.submit(jobs.pid, on="process")
        go_on = tmp_path / "go on"
        handle = manager.submit(jobs.wait_for, str(go_on), on="process", deadline=1.0)
        with pytest.raises(TimeoutError):
            await handle
        assert manager.snapshot().resources["cpu"].held == 1, "it still has its slot"
        go_on.touch()
        assert await manager.submit(jobs.pid, on="process") == worker
        assert manager.thread_pool.statistics().replaced == 0

    engine(scenario, cpu=1)


def test_a_process_that_hangs_past_its_deadline_does_not_hold_up_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenire.concurrency.stopping._NEARLY_DONE_S", 3600.0)
    monkeypatch.setattr("tenire.concurrency.pools.processes._END_S", 3600.0)

    async def scenario(manager: ConcurrencyManager) -> None:
        marker = tmp_path / "pid"
        handle = manager.submit(jobs.hang, str(marker), on="process", deadline=1.0)
        with pytest.raises(TimeoutError):
            await handle

    engine(scenario, cpu=1)


def test_a_named_worker_is_one_process_beside_the_others() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        own = [manager.submit(jobs.pid, on="process", worker="own") for _ in range(3)]
        pids = {await handle for handle in own}
        assert len(pids) == 1
        assert await manager.submit(jobs.pid, on="process") not in pids
        assert "own" in manager.thread_pool.statistics().processes

    engine(scenario, cpu=1)


def test_a_named_worker_that_ends_does_what_it_has_and_the_next_task_gets_a_new_one() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        run = partial(manager.submit, jobs.pid, on="process", worker="own")
        pools = manager.thread_pool
        assert not pools.end_worker("own"), "there is none yet"
        first = [run() for _ in range(3)]
        await eventually(lambda: "own" in pools.statistics().processes)
        assert not pools.end_worker("own", if_idle=True)
        assert pools.end_worker("own")
        second = run()
        (before,) = {await handle for handle in first}
        after = await second
        assert after != before
        await eventually(lambda: not psutil.pid_exists(before))
        assert pools.statistics().processes == {"own": after}
        await eventually(lambda: pools.end_worker("own", if_idle=True))
        await eventually(lambda: pools.statistics().processes == {})

    engine(scenario)


def test_leaving_by_an_exception_kills_what_hangs(tmp_path: Path) -> None:
    marker = tmp_path / "pid"

    async def scenario(manager: ConcurrencyManager) -> None:
        manager.submit(jobs.hang, str(marker), on="process")
        await eventually(lambda: marker.exists() and marker.read_text() != "")
        message = "stop"
        raise RuntimeError(message)

    with pytest.raises(RuntimeError, match="stop"):
        engine(scenario)
    assert not psutil.pid_exists(int(marker.read_text()))


def test_the_loop_stays_on_time_while_results_come_in() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        handles = [manager.submit(jobs.count_up, 200_000, on="process") for _ in range(20)]
        for handle in handles:
            assert (await handle).shape == (200_000,)

    engine(scenario)


def test_less_than_one_cpu_slot_still_runs_processes_one_by_one() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        assert await manager.submit(jobs.square, 4, on="process") == 16

    engine(scenario, cpu=0.5)


def test_workers_can_be_ready_before_there_is_work_for_them() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        pool = manager.thread_pool
        await pool.warm_up(2, imports=["wave"])
        pids = set(pool.statistics().processes.values())
        assert len(pids) == 2
        assert await manager.submit(jobs.has_imported, "wave", on="process")
        assert not await manager.submit(jobs.has_imported, "chunk", on="process")
        assert {await manager.submit(jobs.pid, on="process") for _ in range(3)} <= pids
        # Those that are there count; one that died meanwhile is started again.
        os.kill(pids.pop(), signal.SIGKILL)
        await pool.warm_up(2)
        assert len(pool.statistics().processes) == 2
        assert all(psutil.pid_exists(pid) for pid in pool.statistics().processes.values())

    engine(scenario)


def test_a_task_that_comes_while_workers_warm_up_gets_one_of_them() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        warming = asyncio.create_task(manager.thread_pool.warm_up(2))
        await asyncio.sleep(0)
        handles = [manager.submit(jobs.pid, on="process") for _ in range(2)]
        pids = {await handle for handle in handles}
        await warming
        assert pids <= set(manager.thread_pool.statistics().processes.values())
        assert len(manager.thread_pool.statistics().processes) == 2

    engine(scenario)


def test_a_warm_up_that_cannot_be_is_refused_and_harms_nobody() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        with pytest.raises(ModuleNotFoundError, match="no_such_module"):
            await manager.thread_pool.warm_up(1, imports=["no_such_module"])
        with pytest.raises(
            TaskError, match="no worker process can be started for task 'warm-up': it ended with exit code 7"
        ):
            await manager.thread_pool.warm_up(1, imports=["tests.concurrency.falls_over"])
        for number in (-1, 1.5):
            with pytest.raises(ConfigError, match="workers must be a whole number"):
                await manager.thread_pool.warm_up(number)  # type: ignore[arg-type]
        assert await manager.submit(jobs.square, 3, on="process") == 9

    engine(scenario)


def test_a_script_without_a_guard_is_told_so_and_ends(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import tenire\n"
        "def work():\n    return 1\n"
        "with tenire.ConcurrencyManager.in_thread(cpu=1) as manager:\n"
        "    print(manager.submit(work, on='process').result(timeout=60))\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert "hint: it never got as far as the first task: a main script needs an if __name__" in done.stderr

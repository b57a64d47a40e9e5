"""Tasks that may run anywhere, with an engine of the test's own in place of a cluster."""

from __future__ import annotations

import asyncio
import errno
import os
import pickle
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tenire import Retry, TaskError
from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.pools import conversation
from tenire.concurrency.pools.engine import Capacity, Job, Lost
from tenire.concurrency.pools.frames import Message
from tenire.concurrency.pools.jobs import JOB, VALUE, run_job
from tenire.concurrency.reporting_thread import ReportingThread
from tenire.core.tasks import Resources
from tenire.errors import NoWorkerError, TaskTimeoutError, WorkerDiedError

from . import process_jobs
from .engines import engine, eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire import ConcurrencyManager
    from tenire.concurrency.pools.engine import Outcome


class Errand:
    def __init__(self, job: Job, ended: Callable[[Outcome], object]) -> None:
        self.job = job
        self.ended = ended
        self.since: float | None = None

    def stop(self) -> None:
        self.ended(Lost("it was stopped"))


class Cluster:
    """Runs jobs where it is called; ``hold`` keeps those of some names, ``lose`` loses so many of them."""

    def __init__(self, *, hold: tuple[str, ...] = (), lose: int = 0, refuse: str | None = None) -> None:
        self.hold, self.lose, self.refuse = hold, lose, refuse
        self.jobs: list[Job] = []
        self.held: list[Errand] = []
        self.threads: set[int] = set()
        self.begun = 0
        self.closed = 0

    def capacity(self) -> Capacity:
        return Capacity(4, workers=3)

    def begin(self, post: Callable[..., None]) -> None:
        self.post = post
        self.begun += 1

    def run(self, job: Job, ended: Callable[[Outcome], object]) -> Errand:
        self.threads.add(threading.get_ident())
        self.jobs.append(job)
        errand = Errand(job, ended)
        if self.refuse is not None:
            raise RuntimeError(self.refuse)
        if self.lose:
            self.lose -= 1
            self.post(ended, Lost("its node was lost"))
        elif job.task in self.hold:
            errand.since = SYSTEM_CLOCK.now()
            self.held.append(errand)
        else:
            tag, parts = run_job(Message(JOB, 0, [bytearray(part) for part in job.parts]))
            self.post(ended, Message(tag, 0, [bytearray(part) for part in parts]))
        return errand

    def processes(self) -> dict[str, int]:
        return {"node-1": 1234}

    def close(self) -> None:
        self.closed += 1


def on_cluster(cluster: Cluster, scenario: Callable[[ConcurrencyManager], Any], **options: Any) -> Any:
    async def main(manager: ConcurrencyManager) -> Any:
        manager.thread_pool.use(cluster)
        async with asyncio.timeout(60):  # a task that nobody reports would be waited for, for ever
            return await scenario(manager)

    return engine(main, **options)


def test_what_may_run_anywhere_runs_there_and_what_says_process_stays_here() -> None:
    async def scenario(manager: ConcurrencyManager) -> tuple[int, int]:
        return await manager.submit(os.getpid, on="anywhere"), await manager.submit(os.getpid, on="process")

    cluster = Cluster()
    there, here = on_cluster(cluster, scenario)
    assert there == os.getpid()  # this cluster is in the test's own process
    assert here != os.getpid()
    (job,) = cluster.jobs
    assert (job.task, job.worker, job.cpu, job.memory) == ("getpid", None, 1.0, 0)
    assert cluster.threads.isdisjoint({threading.get_ident()})  # the loop waits for nothing
    assert cluster.closed == 1


def test_without_an_engine_it_is_a_worker_process_of_this_machine() -> None:
    async def scenario(manager: ConcurrencyManager) -> tuple[int, int]:
        assert manager.thread_pool.workers_of_a_name == 1
        return await manager.submit(os.getpid, on="anywhere"), await manager.submit(os.getpid, on="process")

    first, second = engine(scenario)
    assert first == second != os.getpid()


def test_an_engine_is_told_what_a_task_holds_and_which_worker_it_is_for() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        assert manager.thread_pool.workers_of_a_name == 3
        assert manager.thread_pool.statistics().processes["node-1"] == 1234
        await manager.submit(os.getpid, on="anywhere", needs=Resources(cpu=0.5, memory=1000))
        await manager.submit(os.getpid, on="anywhere", worker="warm")

    cluster = Cluster()
    on_cluster(cluster, scenario)
    assert [(job.worker, job.cpu, job.memory) for job in cluster.jobs] == [(None, 0.5, 1000), ("warm", 0.0, 0)]


def test_a_function_fails_there_as_it_fails_here() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        with pytest.raises(ZeroDivisionError) as caught:
            await manager.submit(divmod, 1, 0, on="anywhere")
        assert "Traceback" in str(caught.value.__cause__)
        with pytest.raises(TaskError, match="argument 1 of task"):
            await manager.submit(id, process_jobs.Locked(), on="anywhere")

    on_cluster(Cluster(), scenario)


def test_a_lost_worker_is_tried_again_only_if_the_task_says_so() -> None:
    async def scenario(manager: ConcurrencyManager) -> int:
        with pytest.raises(WorkerDiedError, match="its node was lost"):
            await manager.submit(os.getpid, on="anywhere")
        again = Retry(attempts=2, backoff=0.001, on=())
        return int(await manager.submit(os.getpid, on="anywhere", retry=again))

    cluster = Cluster(lose=2)
    assert on_cluster(cluster, scenario) == os.getpid()
    assert len(cluster.jobs) == 3


def test_an_engine_that_has_no_worker_says_why() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        with pytest.raises(NoWorkerError, match="there is no worker for task 'getpid': the cluster is gone"):
            await manager.submit(os.getpid, on="anywhere")

    on_cluster(Cluster(refuse="the cluster is gone"), scenario)


def test_a_worker_process_that_cannot_be_started_is_told_likewise(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async def scenario(manager: ConcurrencyManager) -> None:
        with pytest.raises(NoWorkerError, match="no worker process can be started for task 'getpid'"):
            await manager.submit(os.getpid, on="anywhere")

    monkeypatch.setattr(conversation, "Child", refuse)
    engine(scenario)


class Exits:
    """Ends whoever unpickles it."""

    def __reduce__(self) -> tuple[object, ...]:
        return sys.exit, (3,)


def test_a_result_that_ends_the_thread_which_reads_it_fails_its_task_alone() -> None:
    async def scenario(manager: ConcurrencyManager) -> int:
        with pytest.raises(TaskError, match=r"died while it had it \(SystemExit: 3\)"):
            await manager.submit(Exits, on="anywhere")
        return int(await manager.submit(os.getpid, on="anywhere"))

    assert on_cluster(Cluster(), scenario) == os.getpid()


def test_what_is_no_outcome_of_a_job_fails_its_task_alone() -> None:
    async def scenario(manager: ConcurrencyManager) -> int:
        held = manager.submit(os.getpid, on="anywhere", name="held")
        await eventually(lambda: bool(cluster.held))
        cluster.post(cluster.held[0].ended, Message(VALUE + 100, 0, [bytearray(pickle.dumps(5))]))
        with pytest.raises(TaskError, match="the result of task 'held' cannot be read back"):
            await held
        return int(await manager.submit(os.getpid, on="anywhere"))

    cluster = Cluster(hold=("held",))
    assert on_cluster(cluster, scenario) == os.getpid()
    assert len(cluster.threads) == 1


class NoThreads:
    """Has the system give no thread to talk to an engine, so many times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
        self.times = times
        self.start = ReportingThread.start
        monkeypatch.setattr(ReportingThread, "start", lambda thread: self.starts(thread))

    def starts(self, thread: ReportingThread) -> None:
        if self.times and thread.name == "tenire-elsewhere":
            self.times -= 1
            raise RuntimeError("can't start new thread")
        self.start(thread)


def test_a_thread_that_the_system_does_not_give_fails_a_task_and_not_those_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(manager: ConcurrencyManager) -> int:
        with pytest.raises(NoWorkerError, match="can't start new thread"):
            await manager.submit(os.getpid, on="anywhere")
        assert await manager.submit(os.getpid, on="anywhere") == os.getpid()
        threads.times = 2
        with pytest.raises(TaskError, match="SystemExit"):
            await manager.submit(Exits, on="anywhere")  # takes its thread along, and there is no other one
        await eventually(lambda: threads.times == 1)
        with pytest.raises(NoWorkerError, match="can't start new thread"):
            await manager.submit(os.getpid, on="anywhere")
        return int(await manager.submit(os.getpid, on="anywhere"))

    cluster, threads = Cluster(), NoThreads(monkeypatch, 1)
    assert on_cluster(cluster, scenario) == os.getpid()
    assert (cluster.begun, cluster.closed) == (2, 1)


def test_what_runs_there_comes_back_though_there_was_no_other_thread_when_one_died(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        held = manager.submit(os.getpid, on="anywhere", name="held")
        await eventually(lambda: bool(cluster.held))
        threads.times = 1
        cluster.post(sys.exit, 3)
        await eventually(lambda: not threads.times)
        cluster.post(cluster.held[0].ended, Lost("its node was lost"))
        with pytest.raises(WorkerDiedError, match="its node was lost"):
            await held

    cluster, threads = Cluster(hold=("held",)), NoThreads(monkeypatch, 0)
    on_cluster(cluster, scenario)


def test_a_cancelled_task_is_stopped_there_and_its_slot_comes_back() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        held = manager.submit(os.getpid, on="anywhere", name="held", needs=Resources(cpu=2))
        async with asyncio.timeout(10):
            while not cluster.held:  # noqa: ASYNC110 - another thread takes it
                await asyncio.sleep(0.001)
            held.cancel()
            with pytest.raises(asyncio.CancelledError):
                await held
            await manager.submit(os.getpid, on="anywhere", needs=Resources(cpu=2))

    cluster = Cluster(hold=("held",))
    on_cluster(cluster, scenario)
    assert len(cluster.jobs) == 2


def test_a_task_that_takes_too_long_there_is_stopped() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        with pytest.raises(TaskTimeoutError):
            await manager.submit(os.getpid, on="anywhere", name="held", timeout=0.01)

    on_cluster(Cluster(hold=("held",)), scenario)


def test_an_engine_left_by_an_error_stops_what_runs_there() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        manager.submit(os.getpid, on="anywhere", name="held")
        async with asyncio.timeout(10):
            while not cluster.held:  # noqa: ASYNC110 - another thread takes it
                await asyncio.sleep(0.001)
        message = "over"
        raise LookupError(message)

    cluster = Cluster(hold=("held",))
    with pytest.raises(LookupError):
        on_cluster(cluster, scenario)
    assert cluster.closed == 1
    assert not [thread for thread in threading.enumerate() if thread.name == "tenire-elsewhere"]

"""Tasks that may run anywhere, with an engine of the test's own in place of a cluster."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tenire import Retry, TaskError
from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.pools.engine import Capacity, Job, Lost
from tenire.concurrency.pools.frames import Message
from tenire.concurrency.pools.jobs import JOB, run_job
from tenire.core.tasks import Resources
from tenire.errors import TaskTimeoutError, WorkerDiedError

from . import process_jobs
from .engines import engine

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
        self.closed = 0

    def capacity(self) -> Capacity:
        return Capacity(4, workers=3)

    def begin(self, post: Callable[..., None]) -> None:
        self.post = post

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
        with pytest.raises(TaskError, match="there is no worker for task 'getpid': the cluster is gone") as caught:
            await manager.submit(os.getpid, on="anywhere")
        assert not isinstance(caught.value, WorkerDiedError)

    on_cluster(Cluster(refuse="the cluster is gone"), scenario)


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

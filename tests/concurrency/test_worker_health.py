"""A worker that keeps dying gets a pause, and its pipelines with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tenire.concurrency.timer import UniversalTimer
from tenire.concurrency.worker_health import WorkerHealth
from tenire.core.fair_share import FairShare
from tenire.core.health import LIMIT
from tenire.errors import WorkerDiedError

if TYPE_CHECKING:
    from tenire.testing import SimLoop


class Job:
    def __init__(self, shares: FairShare, worker: str | None = "model", pipeline: str = "docs") -> None:
        self.worker = worker
        self.pipeline = shares.pipeline(pipeline)


@pytest.fixture
def parts(sim_loop: SimLoop) -> tuple[FairShare, WorkerHealth, list[float]]:
    shares = FairShare()
    woken: list[float] = []
    timer = UniversalTimer(loop=sim_loop, clock=sim_loop.clock, on_thread=lambda: True)
    watch = WorkerHealth(
        shares, timer=timer, clock=sim_loop.clock, wake=lambda: woken.append(round(sim_loop.time(), 3))
    )
    return shares, watch, woken


def test_pipelines_of_a_worker_that_keeps_dying_are_suspended_and_tried_again(
    sim_loop: SimLoop, parts: tuple[FairShare, WorkerHealth, list[float]], caplog: pytest.LogCaptureFixture
) -> None:
    import asyncio

    shares, watch, woken = parts
    job: Any = Job(shares)

    async def main() -> None:
        for _ in range(LIMIT - 1):
            watch.ended(job, WorkerDiedError("gone", task="t"))
        assert job.pipeline.suspended is None
        watch.ended(job, WorkerDiedError("gone", task="t"))
        assert job.pipeline.suspended == "worker 'model' died several times in a row"
        await asyncio.sleep(1.1)
        assert job.pipeline.suspended is None
        watch.ended(job, WorkerDiedError("gone", task="t"))  # the trial failed: twice as long
        await asyncio.sleep(1.9)
        assert job.pipeline.suspended is not None
        await asyncio.sleep(0.2)
        assert job.pipeline.suspended is None
        watch.ended(job, None)
        watch.ended(job, WorkerDiedError("gone", task="t"))
        assert job.pipeline.suspended is None, "a success has made it healthy"

    sim_loop.run_until_complete(main())
    assert woken == [1.0, 3.1]
    assert "tried again in 1 s" in caplog.text


def test_work_that_had_begun_before_the_pause_ends_it_by_a_success(
    sim_loop: SimLoop, parts: tuple[FairShare, WorkerHealth, list[float]]
) -> None:
    import asyncio

    shares, watch, woken = parts
    job: Any = Job(shares)

    async def main() -> None:
        for _ in range(LIMIT):
            watch.ended(job, WorkerDiedError("gone", task="t"))
        await asyncio.sleep(0.5)
        watch.ended(job, None)
        assert job.pipeline.suspended is None
        await asyncio.sleep(5)
        assert job.pipeline.suspended is None

    sim_loop.run_until_complete(main())
    assert woken == [0.5]


def test_a_suspension_by_somebody_else_stays(
    sim_loop: SimLoop, parts: tuple[FairShare, WorkerHealth, list[float]]
) -> None:
    import asyncio

    shares, watch, _ = parts
    job: Any = Job(shares)

    async def main() -> None:
        job.pipeline.suspended = "paused"
        for _ in range(LIMIT):
            watch.ended(job, WorkerDiedError("gone", task="t"))
        await asyncio.sleep(2)
        assert job.pipeline.suspended == "paused"

    sim_loop.run_until_complete(main())


def test_failures_of_a_function_and_of_the_common_pool_say_nothing_of_a_worker(
    parts: tuple[FairShare, WorkerHealth, list[float]],
) -> None:
    shares, watch, _ = parts
    named: Any = Job(shares)
    common: Any = Job(shares, worker=None)
    for _ in range(2 * LIMIT):
        watch.ended(named, ValueError())
        watch.ended(common, WorkerDiedError("gone", task="t"))
    assert named.pipeline.suspended is None

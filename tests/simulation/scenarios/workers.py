"""Workers that die, hang, or cannot be started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.simulation.pools import SimPools
from tests.simulation.scenarios.stage import Stage, scenario

from tenire.core.tasks import Resources, Retry
from tenire.errors import TaskError, TaskTimeoutError, WorkerDiedError

if TYPE_CHECKING:
    from tenire.concurrency.handle import Handle


@scenario
async def workers_are_lost(stage: Stage) -> None:
    """Any worker may go away; only the tasks that ran out of tries suffer."""

    class Losing(SimPools):
        lose = 0.3

    async with stage.engine(Losing):
        for number in range(30):
            retry = Retry(attempts=stage.rng.choice((1, 2, 8)), backoff=0.1)
            stage.submit(lambda number=number: number, on="process", retry=retry)
    for number, handle in enumerate(stage.handles):
        error = handle.exception()
        assert handle.retry is not None
        if error is None:
            assert handle.result() == number
        else:
            assert isinstance(error, WorkerDiedError)
            assert handle.attempts == handle.retry.attempts


@scenario
async def a_named_worker_flaps(stage: Stage) -> None:
    """One that keeps dying has its pipelines suspended until it has had a pause; others never notice."""
    well_from = stage.rng.uniform(5, 60)

    class Flapping(SimPools):
        def dies(self, handle: Handle[Any]) -> bool:
            return handle.worker == "model" and stage.loop.time() < well_from

    async with stage.engine(Flapping) as manager:
        model = manager.orchestrator.scheduler.shares.pipeline("model")
        for _ in range(20):
            stage.submit(lambda: stage.loop.time(), worker="model", on="process", pipeline="model")
            stage.submit(stage.work, pipeline="other")
            await stage.work()
        while stage.loop.time() < well_from:
            await stage.work()
        last = stage.submit(lambda: "well", worker="model", on="process", pipeline="model", retry=Retry(attempts=9))
        assert await last == "well"
        assert model.suspended is None
    others = [handle for handle in stage.handles if not handle.worker]
    assert all(handle.exception() is None for handle in others)


@scenario
async def processes_hang(stage: Stage) -> None:
    """What hangs in a process is ended at its deadline, and its slot is used again."""

    class Hanging(SimPools):
        def hangs(self, handle: Handle[Any]) -> bool:
            return stage.rng.random() < 0.2

    limit = 30.0
    async with stage.engine(Hanging):
        for _ in range(30):
            stage.submit(lambda: "done", on="process", deadline=limit)
        hanging = list(stage.pools.hung)
    assert not stage.pools.hung
    assert stage.loop.time() <= limit + 1
    for handle in stage.handles:
        error = handle.exception()
        assert error is None or isinstance(error, TaskTimeoutError)
        assert handle not in hanging or error is not None


@scenario
async def threads_hang(stage: Stage) -> None:
    """A thread cannot be ended: its task ends, and its slot comes back when it returns, or never."""

    class Hanging(SimPools):
        def hangs(self, handle: Handle[Any]) -> bool:
            return stage.rng.random() < 0.2

    async with stage.engine(Hanging) as manager:
        for _ in range(20):
            stage.submit(lambda: "done", on="thread", deadline=stage.rng.uniform(1, 60))
        await stage.work(0, 100)
        for handle in list(stage.pools.hung):
            if stage.rng.random() < 0.5:
                stage.pools.release(handle)
        await stage.all_done()
        manager.orchestrator.take_in_ended()
        scheduler = manager.orchestrator.scheduler
        assert scheduler.abandoned == len(stage.pools.hung)
        threads = scheduler.admission.names.index("threads")
        assert scheduler.admission.capacity[threads] - scheduler.admission.free[threads] == len(stage.pools.hung)


@scenario
async def nothing_more_can_be_started(stage: Stage) -> None:
    """While the system has no more threads or processes, tasks fail with its error, or wait and try again."""
    until = stage.rng.uniform(0, 20)

    class Refusing(SimPools):
        def refuse(self, handle: Handle[Any]) -> None:
            if stage.loop.time() < until and stage.rng.random() < 0.7:
                raise OSError(24, "too many open files")

    async with stage.engine(Refusing):
        for _ in range(30):
            retry = Retry(attempts=40, backoff=0.2, max_delay=5.0) if stage.rng.random() < 0.7 else None
            stage.submit(lambda: "done", on=stage.rng.choice(("thread", "process")), retry=retry)
            await stage.work(0, 0.3)
    for handle in stage.handles:
        error = handle.exception()
        assert error is None or (isinstance(error, OSError) and handle.retry is None)


@scenario
async def slow_workers_and_much_memory(stage: Stage) -> None:
    """Tasks of very different length that share memory: all that fits goes on, and nothing is overbooked."""

    class Slow(SimPools):
        def extra_s(self, handle: Handle[Any]) -> float:
            return stage.rng.choice((0, 0, 0, 50.0))

    async with stage.engine(Slow, cpu=4):
        for _ in range(40):
            needs = Resources(cpu=stage.rng.choice((0.5, 1, 2)), memory=stage.rng.choice((1, 10, 60, 100)))
            stage.submit(lambda: None, on="process", needs=needs, pipeline=stage.rng.choice("ab"))
    assert not [handle for handle in stage.handles if isinstance(handle.exception(), TaskError)]

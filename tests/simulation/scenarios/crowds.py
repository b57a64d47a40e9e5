"""More work than there is room for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from tests.simulation.scenarios.stage import Stage, scenario

from tenire.core.tasks import Priority, Resources
from tenire.errors import TaskTimeoutError

if TYPE_CHECKING:
    from tenire.concurrency.handle import Handle


@scenario
async def a_herd(stage: Stage) -> None:
    """Hundreds of tasks in one tick delay another pipeline by no more than one running task a slot."""
    longest = 0.5
    async with stage.engine():
        for _ in range(400):
            stage.submit(stage.work, 0.01, longest, needs=Resources(cpu=1), pipeline="herd")
        await stage.work(0, 20)
        asked = stage.loop.time()
        await stage.submit(stage.work, needs=Resources(cpu=1), pipeline="other")
        began = stage.runs[400][0]
        assert began - asked <= longest + stage.slip


@scenario
async def a_flood_with_deadlines(stage: Stage) -> None:
    """Five times what can be done: nothing counts as done after its deadline, and urgent work is on time."""
    rng = stage.rng
    limit = 5.0
    urgent = []
    async with stage.engine(cpu=4):
        for _ in range(300):
            critical = rng.random() < 0.05
            handle = stage.submit(
                stage.work, 0.1, 0.5,
                needs=Resources(cpu=1),
                deadline=limit,
                priority=Priority.CRITICAL if critical else rng.choice((Priority.NORMAL, Priority.LOW)),
                pipeline=rng.choice("abc"),
            )  # fmt: skip
            handle.add_done_callback(partial(_on_time, stage, stage.loop.time() + limit))
            if critical:
                urgent.append(handle)
            await stage.work(0, 0.03)
    assert all(handle.exception() is None for handle in urgent)
    done = [handle for handle in stage.handles if handle.exception() is None]
    assert len(done) >= 50


def _on_time(stage: Stage, due: float, handle: Handle[Any]) -> None:
    error = handle.exception()
    assert isinstance(error, TaskTimeoutError) or (error is None and stage.loop.time() <= due + stage.slip), (
        handle,
        error,
    )


@scenario
async def a_quota(stage: Stage) -> None:
    """In no window do more calls start than the quota has, and it is used."""
    per_second, burst = stage.rng.choice(((2.0, 1), (5.0, 3), (0.5, 4)))
    async with stage.engine() as manager:
        manager.orchestrator.register_rate("calls", per_second, burst)
        for _ in range(40):
            stage.submit(stage.work, needs=Resources(other={"calls": 1}), pipeline=stage.rng.choice("ab"))
            if stage.rng.random() < 0.2:
                await stage.work(0, 3)
    began = sorted(times[0] for times in stage.runs.values())
    for first, at in enumerate(began):
        for last in range(first, len(began)):
            assert last - first + 1 <= burst + per_second * (began[last] - at) + 1e-3
    assert all(handle.exception() is None for handle in stage.handles)


@scenario
async def weights_are_changed(stage: Stage) -> None:
    """Two pipelines with endless work share by the weights that hold now."""
    async with stage.engine(cancelled=True) as manager:
        for _ in range(600):
            for pipeline in "ab":
                stage.submit(stage.work, 0.1, 0.2, needs=Resources(cpu=1), pipeline=pipeline)
        weights = {"a": 1.0, "b": 1.0}
        for _ in range(3):
            for pipeline in "ab":
                weights[pipeline] = stage.rng.choice((1.0, 2.0, 4.0))
                manager.orchestrator.configure_pipeline(pipeline, weight=weights[pipeline])
            began = stage.loop.time() + 1
            await stage.work(15, 15)
            counts = {"a": 0, "b": 0}
            for number, handle in enumerate(stage.handles):
                counts[handle.pipeline.name] += sum(at >= began for at in stage.runs[number])
            expected = weights["a"] / (weights["a"] + weights["b"])
            assert abs(counts["a"] / sum(counts.values()) - expected) < 0.08, (counts, weights)
        for handle in stage.handles:
            handle.cancel()


@scenario
async def the_lowest_gets_its_turn(stage: Stage) -> None:
    """Endless high work: a low task still starts once it has aged, 30 s a class."""
    async with stage.engine(cancelled=True):
        low = stage.submit(stage.work, needs=Resources(cpu=1), priority=Priority.LOW)
        asked = stage.loop.time()
        while not low.done():
            stage.submit(stage.work, needs=Resources(cpu=1), priority=Priority.HIGH)
            await stage.work(0, 0.4)
        assert stage.runs[0][0] - asked <= 2 * 30 + 2
        for handle in stage.handles:
            handle.cancel()


@scenario
async def a_storm_of_cancelling(stage: Stage) -> None:
    """Any task may be cancelled at any moment; what is cancelled before it starts never runs."""
    rng = stage.rng
    early: list[int] = []
    async with stage.engine(cancelled=True):
        for _ in range(100):
            after = [rng.choice(stage.handles)] if stage.handles and rng.random() < 0.3 else []
            on = rng.choice(("loop", "thread", "process"))
            stage.submit(
                stage.work if on == "loop" else lambda: None,
                on=on, after=after, needs=Resources(cpu=1), trigger=rng.choice(("success", "done")),
            )  # fmt: skip
            if rng.random() < 0.5:
                number = rng.randrange(len(stage.handles))
                if stage.handles[number].cancel() and not stage.runs[number]:
                    early.append(number)
            await stage.work(0, 0.1)
        if rng.random() < 0.5:
            for handle in stage.handles:
                handle.cancel()
    for number in early:
        handle = stage.handles[number]
        # On the way to its thread or process it may have run for nothing; never on the loop.
        assert handle.cancelled() or handle.exception() is not None
        assert not stage.runs[number] or handle.on != 0

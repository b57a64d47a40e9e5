"""A pipeline of documents on a slow disk, with workers that die and a process that is killed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from unittest import mock

from tests.pipeline.sim_engine import Engine, Files, Pools, SimStore
from tests.simulation.scenarios.stage import Stage, scenario

from tenire.concurrency import manager, submit
from tenire.pipeline.verify import verify

if TYPE_CHECKING:
    from pathlib import Path

    from tenire.concurrency.handle import Handle


def _files(stage: Stage) -> Files:
    rng = stage.rng
    texts: dict[str, str | None] = {}
    for number in range(rng.randint(5, 40)):
        kind = rng.random()
        texts[f"/f/{number:03}"] = None if kind < 0.05 else "BAD" if kind < 0.1 else f"text {rng.randrange(20)}"
    return Files(texts, size=rng.choice((None, 1 << 20)))


@scenario
async def documents_survive_the_day(stage: Stage) -> None:
    """Slow commits, dying workers, and an end at any moment: the next run ends as an undisturbed one."""
    rng = stage.rng

    class Bad(Pools):
        def dies(self, handle: Handle[Any]) -> bool:
            return rng.random() < 0.1

        def extra_s(self, handle: Handle[Any]) -> float:
            return rng.choice((0.0, 0.0, 0.0, 5.0))

    files = _files(stage)
    store, calm = SimStore(), SimStore()
    with mock.patch.object(submit, "check_sendable"):
        with mock.patch.object(manager, "ThreadPoolManager", Bad):
            running = asyncio.create_task(_run(stage, stage.home(), store, files), name="disturbed")
            await stage.work(0, 20)
            running.cancel()
            await asyncio.wait([running])
            await stage.work(10, 10)  # threads that could not be stopped end
        with mock.patch.object(manager, "ThreadPoolManager", Pools):
            await _run(stage, stage.home(), store, files)
            await _run(stage, stage.home().with_name("calm"), calm, files)
    assert sorted(store.rows) == sorted(calm.rows)


async def _run(stage: Stage, path: Path, store: Any, files: Files) -> None:
    engine = await asyncio.to_thread(Engine, stage.loop, path, store)
    async with engine, engine.session:
        await asyncio.to_thread(engine.session.recover)
        # A file whose reader died twice is there too.
        await asyncio.to_thread(engine.session.ledger.quarantine.retry)
        await engine.run("p", files).run()
        report = await asyncio.to_thread(verify, engine.session.ledger, store)
        assert report.ok, report
        engine.manager.orchestrator.take_in_ended()
        engine.check_nothing_is_held()

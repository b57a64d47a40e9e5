"""What needs threads, processes or sockets is cancelled at each of its awaits, on a real loop.

The guard against leaks looks for threads, processes, sockets and files at the end of each test.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from tests.app.conftest import ZEBRAS, write

import tenire
from tenire import ConcurrencyManager
from tenire.app.config import ingest_config
from tenire.app.inspect import verify
from tenire.app.runs import run_config
from tenire.concurrency import ChannelClient, LoopChannel
from tenire.testing import cancel_sweep

if TYPE_CHECKING:
    from pathlib import Path


def sweep(scenario: Any, check: Any = lambda: None, *, every: int = 1) -> int:
    return cancel_sweep(scenario, check=check, loop_factory=asyncio.new_event_loop, every=every).runs


def test_an_engine_with_threads_and_processes() -> None:
    engines: list[ConcurrencyManager] = []

    async def scenario() -> None:
        engines[:] = [ConcurrencyManager(cpu=1, memory=1000)]
        async with engines[0] as engine:
            await engine.submit(len, "abc", on="thread")
            process = engine.submit(os.getpid, on="process")
            loop = engine.submit(asyncio.sleep, 0.01)
            await process
            await loop

    def check() -> None:
        assert engines[0].thread_pool.statistics().processes == {}
        assert list(engines[0].orchestrator.scheduler.admission.free)[:2] == [1000, 1000]

    assert sweep(scenario, check) >= 4


def test_an_engine_that_keeps_its_history_and_its_events(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with ConcurrencyManager(cpu=1, memory=1000, home=tmp_path) as engine:
            await engine.submit(asyncio.sleep, 0)
            async with engine.data_manager.ledger():
                await engine.data_manager.put(bytes(2000))

    assert sweep(scenario) >= 4


def test_a_loop_in_a_thread() -> None:
    async def scenario() -> None:
        async with ConcurrencyManager(cpu=1, memory=1000) as engine, engine.loops.start("side") as side:
            await side.acall(asyncio.sleep, 0.01)
            await side.spawn(asyncio.sleep, 0.01)

    assert sweep(scenario) >= 4


def test_a_channel_and_who_calls_it(tmp_path: Path) -> None:
    async def echo(value: Any) -> Any:
        await asyncio.sleep(0.01)
        return value

    async def scenario() -> None:
        async with ConcurrencyManager(cpu=1, memory=1000) as engine:
            channel = LoopChannel(tmp_path, timer=engine.timer)
            channel.register("echo", echo, takes=int)
            async with channel, ChannelClient(tmp_path) as client:
                assert await client.call("echo", 42, returns=int) == 42

    def check() -> None:
        assert list(tmp_path.iterdir()) == []

    assert sweep(scenario, check) >= 4


def test_a_search(tmp_path: Path) -> None:
    write(tmp_path / "files/a.txt", ZEBRAS)
    run_config(ingest_config([str(tmp_path / "files")], home=tmp_path / "home", embedder="static"))

    with tenire.Store(tmp_path / "home") as store:

        async def search() -> None:
            assert (await store.asearch("zebra", k=1)).hits

        assert sweep(search) >= 1


@pytest.mark.slow
def test_a_run_of_pipelines(tmp_path: Path) -> None:
    for name in "ab":
        write(tmp_path / f"files/{name}.txt", f"{ZEBRAS} {name}")
    numbers = itertools.count()
    home = tmp_path

    async def scenario() -> None:
        nonlocal home
        home = tmp_path / f"home {next(numbers)}"
        await tenire.arun(tenire.Pipeline("p", tmp_path / "files", embedder="static"), home=home)

    async def check() -> None:
        # What was left is settled by the next run, as after a kill.
        report = await tenire.arun(tenire.Pipeline("p", tmp_path / "files", embedder="static"), home=home)
        assert report.pipelines["p"].done + report.pipelines["p"].unchanged == 2
        found = await asyncio.to_thread(verify, home)
        assert (found.ok, found.documents) == (True, 2)

    assert sweep(scenario, check, every=int(os.environ.get("TENIRE_SWEEP_EVERY", "20"))) >= 2


@tenire.stage
async def shout(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    await asyncio.sleep(0.001)
    return [{**item, "text": item["text"].upper()} for item in items]


@pytest.mark.slow
def test_a_run_of_stages(tmp_path: Path) -> None:
    numbers = itertools.count()
    home = tmp_path

    def pipeline() -> tenire.Pipeline:
        items = [{"id": number, "text": "zebra"} for number in range(3)]
        return tenire.Pipeline("p", items, stages=[shout], sink=home.with_suffix(".jsonl"))

    async def scenario() -> None:
        nonlocal home
        home = tmp_path / f"home {next(numbers)}"
        await tenire.arun(pipeline(), home=home)

    async def check() -> None:
        report = await tenire.arun(pipeline(), home=home)
        assert report.pipelines["p"].done + report.pipelines["p"].unchanged == 3
        lines = home.with_suffix(".jsonl").read_text("utf-8").splitlines()
        assert [json.loads(line) for line in lines] == [{"id": number, "text": "ZEBRA"} for number in range(3)]

    assert sweep(scenario, check, every=int(os.environ.get("TENIRE_SWEEP_EVERY", "4"))) >= 2

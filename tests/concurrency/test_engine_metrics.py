"""Everything that an engine counts, from its real events to the text that a collector reads."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from tests.concurrency.engines import eventually

from tenire import ConcurrencyManager, Resources, Retry
from tenire.observe.metrics import OTHER, SERIES
from tenire.observe.prometheus import prometheus_text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenire.testing import SimLoop


def simulated(loop: SimLoop, scenario: Callable[[ConcurrencyManager], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with ConcurrencyManager(clock=loop.clock, cpu=1, memory=1 << 20, seed=1) as manager:
            return await scenario(manager)

    return loop.run_until_complete(main())


async def fail() -> None:
    raise ValueError("no")


def test_a_snapshot_tells_how_tasks_ended_and_how_long_they_took_and_waited(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        one = Resources(cpu=1)
        naps = [manager.submit(asyncio.sleep, 2, needs=one, pipeline="a") for _ in range(3)]
        for nap in naps:
            await nap
        failing = manager.submit(fail, pipeline="a", retry=Retry(attempts=3, backoff=0.01))
        dependent = manager.submit(asyncio.sleep, 0, pipeline="a", after=[failing])
        late = manager.submit(asyncio.sleep, 9, pipeline="a", deadline=1.0)
        running = manager.submit(asyncio.sleep, 9, pipeline="a", needs=one)
        waiting = manager.submit(asyncio.sleep, 9, pipeline="a", needs=one)
        await asyncio.sleep(2)
        running.cancel()
        waiting.cancel()
        await asyncio.sleep(1)
        for handle in (failing, dependent, late):
            assert handle.exception() is not None
        it = manager.snapshot().pipelines["a"]
        assert (it.submitted, it.ended, it.failed, it.cancelled, it.retried) == (8, 8, 3, 2, 2)
        assert (it.took.count, it.took.total) == (3, pytest.approx(6.0))
        assert it.took.quantiles[0.5] == pytest.approx(2.0, rel=0.01)
        assert it.waited.quantiles[0.5] == pytest.approx(2.0, rel=0.01)
        assert it.waited.total == pytest.approx(6.0, rel=0.01)

    simulated(sim_loop, scenario)


def test_short_tasks_are_looked_at_by_sampling_and_counted_for_all(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        for _ in range(1600):
            await manager.submit(asyncio.sleep, 0)
        assert manager.snapshot().pipelines["default"].took.count == 1600

    simulated(sim_loop, scenario)


def test_the_text_of_an_engine_holds_its_figures_and_the_users(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> str:
        cache = manager.data_manager.cache("pages")
        cache.put("a", b"x")
        cache.get("a")
        blob = await manager.data_manager.put(bytes(1000))
        await manager.submit(asyncio.sleep, 2, pipeline="docs", needs=Resources(cpu=1))
        manager.metrics.counter("pages_total", "Pages read.").add(3)
        text = prometheus_text(manager.metrics.collect())
        assert blob.size == 1000
        return text

    text = simulated(sim_loop, scenario).splitlines()
    for line in (
        'tenire_tasks_submitted_total{pipeline="docs"} 1',
        'tenire_tasks_ended_total{pipeline="docs"} 1',
        'tenire_task_seconds_count{pipeline="docs"} 1',
        'tenire_resource_held{resource="memory"} 1000',
        'tenire_resource_capacity{resource="cpu"} 1',
        'tenire_blob_bytes{place="memory"} 1000',
        'tenire_cache_hits_total{cache="pages"} 1',
        "tenire_degradation_level 0",
        "tenire_tasks_queued 0",
        "tenire_pages_total 3",
        "# TYPE tenire_tasks_failed_total counter",
        "# TYPE tenire_task_wait_seconds summary",
    ):
        assert line in text
    assert len({line for line in text if line.startswith("# TYPE")}) == sum(line.startswith("# TYPE") for line in text)


def test_of_very_many_pipelines_the_small_ones_are_counted_together(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        for number in range(SERIES + 50):
            for _ in range(2 if number < 10 else 1):
                await manager.submit(asyncio.sleep, 0, pipeline=f"p{number}")
        (family,) = [it for it in manager.metrics.collect() if it.name == "tasks_submitted_total"]
        values = {sample.labels[0][1]: sample.value for sample in family.samples}
        assert len(values) == SERIES
        assert values["p3"] == 2
        assert values[OTHER] == 51
        assert sum(values.values()) == SERIES + 60

    simulated(sim_loop, scenario)


def test_functions_that_go_on_without_a_task_are_counted() -> None:
    begun, release = threading.Event(), threading.Event()

    async def main() -> None:
        async with ConcurrencyManager(cpu=1, memory=1 << 20) as manager:

            def count() -> str:
                text = prometheus_text(manager.metrics.collect())
                (line,) = (line for line in text.splitlines() if line.startswith("tenire_threads_abandoned "))
                return line.rpartition(" ")[2]

            handle = manager.submit(lambda: (begun.set(), release.wait(30)))
            await asyncio.to_thread(begun.wait, 10)
            assert count() == "0"
            handle.cancel()
            assert count() == "1"
            release.set()
            await eventually(lambda: count() == "0")

    asyncio.run(main())


def test_metrics_can_be_collected_on_any_thread_and_after_the_end() -> None:
    async def main() -> None:
        async with ConcurrencyManager(cpu=1, memory=1 << 20) as manager:
            found = await asyncio.to_thread(manager.metrics.collect)
            names = [family.name for family in found]
            assert names == sorted(names)
        assert [family.name for family in manager.metrics.collect()] == names

    asyncio.run(main())

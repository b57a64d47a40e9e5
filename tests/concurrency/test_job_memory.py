from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from tests.concurrency import process_jobs
from tests.concurrency.engines import engine

from tenire.concurrency.pools.memory import LONG_S

if TYPE_CHECKING:
    from tenire import ConcurrencyManager

MEBI = 1 << 20


async def needed(manager: ConcurrencyManager, size: int, seconds: float, **options: Any) -> int:
    """Return what the pool reports about a job that holds ``size`` bytes."""
    pool = manager.thread_pool
    report, figures = pool.report, []

    def listen(handle: Any, value: Any, error: Any, memory: int = 0) -> None:
        figures.append(memory)
        report(handle, value, error, 0)

    pool.report = listen
    assert await manager.submit(process_jobs.hold, size, seconds, on="process", **options) == size
    pool.report = report
    (figure,) = figures
    return figure


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only growth over the largest so far shows")
def test_a_long_job_reports_the_memory_that_it_needed_and_no_other_jobs() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        await needed(manager, 1, 2 * LONG_S)
        for _ in range(2):
            large = await needed(manager, 80 * MEBI, 2 * LONG_S)
            assert 78 * MEBI < large < 90 * MEBI
            small = await needed(manager, 1, 2 * LONG_S)
            assert small < 8 * MEBI

    engine(scenario, cpu=1)


def test_a_short_job_reports_none() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        await needed(manager, 1, 2 * LONG_S)
        assert min([await needed(manager, MEBI, 0.0) for _ in range(5)]) == 0

    engine(scenario, cpu=1)

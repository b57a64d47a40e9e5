from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING

from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.sampler import ThreadSampler

if TYPE_CHECKING:
    import pytest

    from tenire.observe.load_probe import LoadSample

Got = list[tuple["LoadSample | None", float, int]]


async def look(sampler: ThreadSampler, times: int) -> Got:
    got: Got = []
    for _ in range(times):
        arrived = asyncio.Event()

        def deliver(sample: LoadSample | None, at: float, arrived: asyncio.Event = arrived) -> None:
            got.append((sample, at, threading.get_ident()))
            arrived.set()

        sampler.request((os.getpid(),), deliver)
        await arrived.wait()
    return got


def test_this_machine_is_looked_at_on_another_thread_and_told_on_the_loops() -> None:
    async def scenario() -> None:
        sampler = ThreadSampler(asyncio.get_running_loop(), SYSTEM_CLOCK)
        before = SYSTEM_CLOCK.now()
        got = await look(sampler, 2)
        await sampler.aclose()
        for sample, at, thread in got:
            assert sample is not None
            assert 0 < sample.signals["memory_used"] < 1
            assert before <= at <= SYSTEM_CLOCK.now()
            assert thread == threading.get_ident()
        assert got[1][0] is not None
        assert got[1][0].cores is not None

    asyncio.run(scenario())


def test_a_look_that_fails_is_told_as_nothing_and_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        message = "a line of its own"
        raise ValueError(message)

    monkeypatch.setattr("tenire.concurrency.sampler.LoadProbe.sample", fail)

    async def scenario() -> None:
        sampler = ThreadSampler(asyncio.get_running_loop(), SYSTEM_CLOCK)
        assert [sample for sample, _, _ in await look(sampler, 3)] == [None, None, None]
        await sampler.aclose()

    asyncio.run(scenario())
    assert len(caplog.records) == 1


def test_one_that_was_never_asked_has_no_thread_to_end() -> None:
    async def scenario() -> None:
        sampler = ThreadSampler(asyncio.get_running_loop(), SYSTEM_CLOCK)
        before = threading.active_count()
        await sampler.aclose()
        assert threading.active_count() == before

    asyncio.run(scenario())

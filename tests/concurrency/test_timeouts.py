from __future__ import annotations

import asyncio
import re
import threading
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from tests.concurrency import jobs
from tests.concurrency.engines import engine, eventually

from tenire import ConcurrencyManager, ConfigError, Resources, Retry, TaskError
from tenire.errors import WorkerDiedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tenire.testing import SimLoop


def simulate(sim_loop: SimLoop, scenario: Callable[[ConcurrencyManager], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with ConcurrencyManager(clock=sim_loop.clock, seed=1, cpu=1, memory=100) as manager:
            return await scenario(manager)

    return sim_loop.run_until_complete(main())


def test_a_coroutine_that_takes_too_long_is_cancelled_and_the_task_says_so(sim_loop: SimLoop) -> None:
    cleaned_up = []

    async def slow() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(0.5)
            cleaned_up.append(sim_loop.time())

    async def scenario(manager: ConcurrencyManager) -> None:
        with pytest.raises(TimeoutError, match=r"task 'slow one' ran longer than its timeout of 2 s") as caught:
            await manager.submit(slow, timeout=2, name="slow one")
        assert isinstance(caught.value, TaskError)
        assert cleaned_up == [pytest.approx(2.5)]

    simulate(sim_loop, scenario)


def test_the_timeout_counts_from_the_start_and_not_from_submit(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        slot = Resources(cpu=1)
        handles = [manager.submit(asyncio.sleep, 2, "rested", needs=slot, timeout=2.5) for _ in range(3)]
        assert [await handle for handle in handles] == ["rested"] * 3
        assert sim_loop.time() == pytest.approx(6)

    simulate(sim_loop, scenario)


def test_each_try_has_the_whole_timeout(sim_loop: SimLoop) -> None:
    begun = []

    async def slow_twice() -> str:
        begun.append(sim_loop.time())
        await asyncio.sleep(100 if len(begun) < 3 else 1.5)
        return "third time lucky"

    async def scenario(manager: ConcurrencyManager) -> None:
        retry = Retry(attempts=3, backoff=0)
        assert await manager.submit(slow_twice, timeout=2, retry=retry) == "third time lucky"
        assert begun == pytest.approx([0, 2, 4], abs=0.01)

    simulate(sim_loop, scenario)


def test_a_retry_that_does_not_cover_timeouts_does_not_try_again(sim_loop: SimLoop) -> None:
    begun = []

    async def slow() -> None:
        begun.append(1)
        await asyncio.sleep(100)

    async def scenario(manager: ConcurrencyManager) -> None:
        with pytest.raises(TimeoutError):
            await manager.submit(slow, timeout=1, retry=Retry(attempts=3, on=(ConnectionError,)))
        assert begun == [1]

    simulate(sim_loop, scenario)


def test_a_coroutine_that_goes_on_after_its_timeout_is_given_up(sim_loop: SimLoop) -> None:
    release = asyncio.Event()

    async def deaf() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    async def scenario(manager: ConcurrencyManager) -> None:
        handle = manager.submit(deaf, timeout=1, retry=Retry(attempts=5, backoff=0), needs=Resources(cpu=1))
        with pytest.raises(TimeoutError):
            await handle
        assert sim_loop.time() == pytest.approx(2)
        assert handle.attempts == 1
        assert manager.snapshot().resources["cpu"].held == 1
        release.set()
        await asyncio.sleep(0.1)
        assert manager.snapshot().resources["cpu"].held == 0

    simulate(sim_loop, scenario)


def test_the_next_try_is_not_given_up_for_the_first_one(sim_loop: SimLoop) -> None:
    begun = []

    async def slow_once() -> str:
        begun.append(1)
        await asyncio.sleep(100 if len(begun) == 1 else 1.8)
        return "done"

    async def scenario(manager: ConcurrencyManager) -> None:
        # A second after the first was cancelled, when it would be given up, the second try runs.
        assert await manager.submit(slow_once, timeout=2, retry=Retry(attempts=2, backoff=0)) == "done"

    simulate(sim_loop, scenario)


def test_what_was_cancelled_is_not_tried_again_whatever_it_raises(sim_loop: SimLoop) -> None:
    begun = []

    async def stumbles() -> None:
        begun.append(1)
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            raise ValueError from None

    async def scenario(manager: ConcurrencyManager) -> None:
        handle = manager.submit(stumbles, retry=Retry(attempts=3, backoff=0))
        await asyncio.sleep(1)
        handle.cancel()
        with pytest.raises(ValueError):  # noqa: PT011 - it has no message
            await handle
        assert begun == [1]

    simulate(sim_loop, scenario)


def test_a_task_in_time_leaves_no_timer_behind(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        before = len(manager.timer)
        handles = [manager.submit(asyncio.sleep, 1, timeout=3600) for _ in range(5)]
        await asyncio.sleep(0.5)
        assert len(manager.timer) > before
        for handle in handles:
            await handle
        assert len(manager.timer) == before

    simulate(sim_loop, scenario)


@pytest.mark.parametrize("step", [-3600, 3600])
def test_a_wall_clock_that_is_set_moves_no_timeout_deadline_or_retry(sim_loop: SimLoop, step: float) -> None:
    async def fails() -> None:
        raise ConnectionError

    async def scenario(manager: ConcurrencyManager) -> None:
        late = [
            manager.submit(asyncio.sleep, 100, timeout=5),
            manager.submit(asyncio.sleep, 100, deadline=5),
            manager.submit(
                asyncio.sleep, 1, needs=Resources(cpu=1), deadline=5, after=[manager.submit(asyncio.sleep, 9)]
            ),
        ]
        in_time = manager.submit(asyncio.sleep, 8, "in time", timeout=9, deadline=9)
        retried = manager.submit(fails, retry=Retry(attempts=4, backoff=0.5))
        ticks: list[float] = []
        ticking = manager.timer.every(1, lambda: ticks.append(sim_loop.time()))
        await asyncio.sleep(2.5)
        sim_loop.clock.step_wall(step)
        for handle in late:
            with pytest.raises(TimeoutError):
                await handle
            assert sim_loop.time() == pytest.approx(5)
        with pytest.raises(ConnectionError):
            await retried
        assert sim_loop.time() == pytest.approx(5)
        assert await in_time == "in time"
        ticking.cancel()
        assert ticks == pytest.approx(list(range(1, 9)))

    simulate(sim_loop, scenario)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), "5"])
def test_an_impossible_timeout_is_refused(sim_loop: SimLoop, timeout: Any) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        with pytest.raises(ConfigError, match=r"timeout must be a positive number of seconds, got .* \(task 'rest'\)"):
            manager.submit(asyncio.sleep, 1, timeout=timeout, name="rest")
        assert await manager.submit(asyncio.sleep, 1, "rested", timeout=float("inf")) == "rested"

    simulate(sim_loop, scenario)


def test_a_thread_that_takes_too_long_is_left_to_itself_and_named() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        release = threading.Event()
        # Long enough for it to have begun: what has not is left out, and not to itself.
        handle = manager.submit(release.wait, 30, timeout=0.5, name="stuck", retry=Retry(attempts=3, backoff=0))
        with pytest.raises(TimeoutError):
            await handle
        assert handle.attempts == 1
        assert manager.thread_pool.statistics().abandoned == ("stuck",)
        assert manager.snapshot().resources["threads"].held == 1
        release.set()
        await eventually(lambda: manager.snapshot().resources["threads"].held == 0)
        assert manager.thread_pool.statistics().abandoned == ()

    engine(scenario)


def test_who_waits_for_a_thread_is_told_which_abandoned_functions_have_them_all() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        release = threading.Event()
        for number in range(8):
            manager.submit(release.wait, 30, timeout=0.5, name=f"stuck {number}")  # long enough for it to have begun
        await eventually(lambda: len(manager.thread_pool.statistics().abandoned) == 8)
        waiting = manager.submit(jobs.pid, name="waiting")
        explanation = manager.submit(asyncio.sleep, 0, after=[waiting]).explain()
        assert "stuck" not in explanation.reason
        reason = waiting.explain().reason
        release.set()
        named = re.search(r"8 thread\(s\) still run functions whose tasks have ended: (.+), …$", reason)
        assert named is not None, reason
        first = named[1].split(", ")
        assert len(set(first)) == len(first) == 5, "they end at about the same time, so in any order"
        assert set(first) <= {repr(f"stuck {number}") for number in range(8)}
        await waiting

    engine(scenario, cpu=1)


def test_a_process_that_takes_too_long_is_killed_and_the_next_try_gets_a_new_one(tmp_path: Path) -> None:
    marker = tmp_path / "pid"

    async def scenario(manager: ConcurrencyManager) -> None:
        await manager.submit(jobs.square, 1, on="process")
        retry = Retry(attempts=2, backoff=0)
        handle = manager.submit(jobs.hang_once, str(marker), on="process", timeout=1.0, retry=retry)
        assert await handle == "second try"
        assert handle.attempts == 2
        assert not psutil.pid_exists(int(marker.read_text()))
        assert manager.thread_pool.statistics().replaced == 1

    engine(scenario)


def test_in_a_named_worker_the_timeout_counts_from_when_its_turn_has_come() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        handles = [
            manager.submit(jobs.nap, 0.4, on="process", worker="own", timeout=1.0, name=f"nap {number}")
            for number in range(4)
        ]
        assert [await handle for handle in handles] == [0.4] * 4
        # Killed by us three times in a row: that is no reason to think ill of it.
        for _ in range(3):
            with pytest.raises(TimeoutError) as caught:
                await manager.submit(jobs.nap, 30.0, on="process", worker="own", timeout=0.05)
            assert not isinstance(caught.value, WorkerDiedError)
        assert await manager.submit(jobs.nap, 0.0, on="process", worker="own") == 0.0

    engine(scenario)

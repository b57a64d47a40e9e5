"""Tidying up in idle periods, mostly on virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest
from tests.concurrency import jobs
from tests.concurrency.engines import engine, eventually

from tenire import ConcurrencyManager
from tenire.concurrency.compaction_steps import KEPT_THREADS, KEPT_WORKERS, engine_steps
from tenire.concurrency.compactor import LONGEST_S, STOP_S, CompactionStep, Compactor, StepEnded, Stop
from tenire.concurrency.signals import Signals
from tenire.concurrency.supervisor import Child, Supervisor
from tenire.concurrency.timer import UniversalTimer
from tenire.core.compaction import QUIET_S
from tenire.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenire.protocols import StopSign
    from tenire.testing import SimLoop


def simulated(loop: SimLoop, scenario: Callable[[ConcurrencyManager], Awaitable[Any]]) -> Any:
    """Run a scenario in an engine on virtual time whose compactor has no steps of its own and runs."""

    async def main() -> Any:
        async with ConcurrencyManager(clock=loop.clock, cpu=1, memory=1 << 20) as manager:
            manager.compactor = Compactor(loop, timer=manager.timer, clock=loop.clock, signals=manager.signals)
            manager.orchestrator.busy_changed = manager.compactor.busy_changed
            manager.compactor.start()
            return await scenario(manager)

    return loop.run_until_complete(main())


def ended(manager: ConcurrencyManager) -> list[StepEnded]:
    found: list[StepEnded] = []
    manager.signals.subscribe(StepEnded, found.append)
    return found


class Waiting:
    """A step that works until it is told to stop, and takes ``slow`` seconds to do so."""

    def __init__(self, *, slow: float = 0.0) -> None:
        self.runs = 0
        self.began = asyncio.Event()
        self._slow = slow

    async def run(self, stop: StopSign) -> int:
        self.runs += 1
        self.began.set()
        told = asyncio.Event()
        with stop.calling(told.set):
            await told.wait()
        await asyncio.sleep(self._slow)
        return 0


def test_steps_run_in_order_once_the_engine_was_quiet_for_long_enough(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        at: dict[str, float] = {}
        found = ended(manager)
        await manager.submit(asyncio.sleep, 3)
        quiet_since = sim_loop.time()
        for name in ("first", "second"):
            manager.compactor.add(CompactionStep(name, lambda _stop, name=name: at.setdefault(name, 7) or 7))
        manager.compactor.add(CompactionStep("later", lambda _stop: 0, quiet=60))
        await asyncio.sleep(QUIET_S - 0.1)
        assert not at
        await asyncio.sleep(1)
        assert [step.name for step in found] == ["first", "second"]
        assert all(step.finished and step.gained == 7 for step in found)
        await asyncio.sleep(quiet_since + 62 - sim_loop.time())
        assert found[-1].name == "later"
        await asyncio.sleep(10_000)
        assert len(found) == 3, "an engine that only idles is left alone"
        statistics = manager.compactor.statistics()
        assert (statistics.runs, statistics.stopped, statistics.gained) == (3, 0, 14)

    simulated(sim_loop, scenario)


def test_a_step_is_told_to_stop_in_the_turn_in_which_work_arrives(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        step, found = Waiting(), ended(manager)
        manager.compactor.add(CompactionStep("long", step.run))
        await step.began.wait()
        before = sim_loop.time()
        await manager.submit(asyncio.sleep, 1)
        (told,) = found
        assert (told.name, told.finished) == ("long", False)
        statistics = manager.compactor.statistics()
        assert (statistics.stopped, statistics.slowest_stop_s) == (1, 0)
        assert sim_loop.time() == before + 1, "work did not wait for it"
        await asyncio.sleep(QUIET_S + 0.1)
        assert step.runs == 2, "it goes on in the next quiet period"

    simulated(sim_loop, scenario)


def test_a_step_that_does_not_stop_in_time_is_named(sim_loop: SimLoop, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        step = Waiting(slow=2 * STOP_S)
        manager.compactor.add(CompactionStep("stubborn", step.run))
        await step.began.wait()
        await manager.submit(asyncio.sleep, 1)
        assert manager.compactor.statistics().slowest_stop_s == pytest.approx(2 * STOP_S)

    simulated(sim_loop, scenario)
    assert "stubborn" in caplog.text


def test_a_step_that_never_stops_is_named_while_it_goes_on_and_at_the_end(
    sim_loop: SimLoop, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        step = Waiting(slow=1e6)
        manager.compactor.add(CompactionStep("endless", step.run))
        await step.began.wait()
        await manager.submit(asyncio.sleep, 0.9)
        assert not caplog.messages
        await manager.submit(asyncio.sleep, 0.2)
        assert caplog.messages == ["tidying up 'endless' still goes on 1 s after it was told to stop"]
        await manager.compactor.aclose()
        assert caplog.messages[1:] == ["tidying up 'endless' did not stop within 1 s and is left behind"]

    simulated(sim_loop, scenario)


def test_a_step_that_fails_is_logged_and_the_others_run(sim_loop: SimLoop, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        found = ended(manager)
        manager.compactor.add(CompactionStep("broken", lambda _stop: 1 // 0))
        manager.compactor.add(CompactionStep("whole", lambda _stop: 1))
        await asyncio.sleep(QUIET_S + 1)
        assert [(step.name, step.gained) for step in found] == [("broken", 0), ("whole", 1)]

    with caplog.at_level(logging.ERROR):
        simulated(sim_loop, scenario)
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("gained", [None, "1 MB", 2.5])
def test_a_step_that_returns_no_number_of_bytes_has_failed_and_the_others_run(
    gained: Any, sim_loop: SimLoop, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(compactor: Compactor, supervisor: Supervisor) -> None:
        async def on_the_loop(_stop: StopSign) -> Any:
            return gained

        runs: list[str] = []
        compactor.add(CompactionStep("function", lambda _stop: gained, every=1.0))
        compactor.add(CompactionStep("coroutine", on_the_loop, every=1.0))
        compactor.add(CompactionStep("whole", lambda _stop: runs.append("whole") or 1, every=1.0))
        for _ in range(10):  # more often than it would be started again
            compactor.busy_changed(True)
            compactor.busy_changed(False)
            await asyncio.sleep(QUIET_S + 2)
        assert len(runs) == 10
        assert supervisor.statistics()["compactor"].restarts == 0
        statistics = compactor.statistics()
        assert (statistics.gained, statistics.running) == (10, None)
        ended = {name: step.gained for name, step in statistics.last.items()}
        assert ended == {"function": 0, "coroutine": 0, "whole": 1}

    with caplog.at_level(logging.ERROR):
        supervised(sim_loop, scenario)
    for name in ("function", "coroutine"):
        expected = f"step {name!r} must return the number of bytes that it gained, a whole one, got {gained!r}"
        assert expected in caplog.text


def test_work_between_two_instants_of_rest_costs_no_timer(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        manager.compactor.add(CompactionStep("any", lambda _stop: 0))
        timers = len(manager.timer)
        for _ in range(100):
            await manager.submit(asyncio.sleep, 0)
        assert len(manager.timer) == timers
        assert not manager.compactor.statistics().runs

    simulated(sim_loop, scenario)


def test_closing_stops_what_runs_and_leaves_nothing(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> Waiting:
        step = Waiting()
        manager.compactor.add(CompactionStep("long", step.run))
        await step.began.wait()
        return step

    assert simulated(sim_loop, scenario).runs == 1


def test_a_step_that_is_taken_away_runs_no_more(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        step = Waiting()
        take_away = manager.compactor.add(CompactionStep("long", step.run))
        with pytest.raises(ConfigError, match="already"):
            manager.compactor.add(CompactionStep("long", step.run))
        await step.began.wait()
        take_away()
        take_away()
        await manager.submit(asyncio.sleep, 0)
        await asyncio.sleep(10 * QUIET_S)
        assert step.runs == 1
        assert manager.compactor.statistics().running is None

    simulated(sim_loop, scenario)


def test_whoever_asks_to_be_interrupted_too_late_is_interrupted_at_once() -> None:
    stop, calls = Stop(), []
    with stop.calling(lambda: calls.append("while")):
        assert not stop.requested
        stop.request()
    with stop.calling(lambda: calls.append("after")):
        pass
    stop.request()
    assert calls == ["while", "after"], "nobody is interrupted once the block is left"


def test_idle_workers_and_threads_are_retired_and_come_back_with_work() -> None:
    async def main() -> None:
        async with ConcurrencyManager(cpu=3, memory=1 << 20) as manager:
            barrier = threading.Barrier(6)
            for handle in [manager.submit(barrier.wait, 10) for _ in range(6)]:
                await handle
            for handle in [manager.submit(jobs.pid, on="process", name=f"p{n}") for n in range(3)]:
                await handle
            await manager.submit(jobs.pid, on="process", worker="warm")
            retire = engine_steps(manager.thread_pool, manager.data_manager, manager._clock)[0].run
            before = manager.thread_pool.statistics()
            gained = await retire(Stop())
            assert gained > 1 << 20 if len(before.processes) > KEPT_WORKERS + 1 else gained == 0
            await eventually(lambda: manager.thread_pool.statistics().threads == KEPT_THREADS)
            await eventually(lambda: len(manager.thread_pool.statistics().processes) == KEPT_WORKERS + 1)
            assert "warm" in manager.thread_pool.statistics().processes
            for handle in [manager.submit(barrier.wait, 10) for _ in range(6)]:
                await handle
            for handle in [manager.submit(jobs.pid, on="process") for _ in range(3)]:
                await handle

    asyncio.run(main())


def test_work_that_comes_while_threads_retire_gets_threads_of_its_own() -> None:
    async def main() -> None:
        async with ConcurrencyManager(cpu=8, memory=1 << 20) as manager:
            barrier = threading.Barrier(8)
            for _ in range(5):
                for handle in [manager.submit(barrier.wait, 10) for _ in range(8)]:
                    await handle
                manager.thread_pool.retire_idle(workers=0, threads=1)
            assert manager.thread_pool.statistics().threads_busy == 0

    asyncio.run(main())


def test_caches_are_trimmed_to_half_of_what_they_may_hold(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        cache = manager.data_manager.cache("pages", capacity=10_000)
        for key in range(10):
            cache.put(key, bytes(500))
        (trim,) = [
            step.run
            for step in engine_steps(manager.thread_pool, manager.data_manager, manager._clock)
            if step.name == "caches"
        ]
        assert trim(Stop()) == 4500
        assert (len(cache), cache.get(9)) == (5, bytes(500))
        assert trim(Stop()) == 0
        stop = Stop()
        stop.request()
        cache.put(10, bytes(5000))
        assert trim(stop) == 0

    simulated(sim_loop, scenario)


# -- signs of life ---------------------------------------------------------


def supervised(loop: SimLoop, scenario: Callable[[Compactor, Supervisor], Awaitable[Any]]) -> None:
    """Run a scenario with a compactor under a supervisor, on virtual time and without an engine."""

    async def main() -> None:
        timer = UniversalTimer(loop=loop, clock=loop.clock, on_thread=lambda: True)
        compactor = Compactor(loop, timer=timer, clock=loop.clock, signals=Signals())
        child = Child("compactor", compactor.run, silence=10.0, ask=compactor.ask)
        supervisor = Supervisor([child], timer=timer, clock=loop.clock)
        await supervisor.start()
        await scenario(compactor, supervisor)
        await supervisor.aclose()
        await compactor.aclose()
        timer.close()

    loop.run_until_complete(main())


def test_a_step_that_looks_at_its_sign_lives_however_long_it_takes(sim_loop: SimLoop) -> None:
    async def long(stop: StopSign) -> int:
        for _ in range(5000):
            await asyncio.sleep(1)
            if stop.requested:
                return 0
        return 7

    async def scenario(compactor: Compactor, supervisor: Supervisor) -> None:
        compactor.add(CompactionStep("long", long))
        await asyncio.sleep(5100)
        fares = supervisor.statistics()["compactor"]
        assert (fares.health, fares.restarts) == ("healthy", 0)
        assert compactor.statistics().last["long"].gained == 7

    supervised(sim_loop, scenario)


def test_a_step_that_gives_no_sign_is_told_to_stop_and_lives_if_it_does(sim_loop: SimLoop) -> None:
    async def scenario(compactor: Compactor, supervisor: Supervisor) -> None:
        step = Waiting(slow=STOP_S / 2)
        compactor.add(CompactionStep("one long call", step.run, every=60.0))
        await asyncio.sleep(QUIET_S + LONGEST_S - 1)
        assert compactor.statistics().running == "one long call"
        await asyncio.sleep(10)
        assert compactor.statistics().running is None
        await asyncio.sleep(10_000)
        assert step.runs == 1, "it is not begun again and again while nothing else happens"
        fares = supervisor.statistics()["compactor"]
        assert (fares.health, fares.restarts) == ("healthy", 0)

    supervised(sim_loop, scenario)


def test_a_step_that_hangs_is_left_behind_and_the_others_go_on(
    sim_loop: SimLoop, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(compactor: Compactor, supervisor: Supervisor) -> None:
        hanging, others = Waiting(slow=1e6), Waiting()
        compactor.add(CompactionStep("hanging", hanging.run))
        await hanging.began.wait()
        compactor.add(CompactionStep("other", others.run))
        compactor.busy_changed(True)
        await asyncio.sleep(11)
        fares = supervisor.statistics()["compactor"]
        assert fares.restarts == 1
        assert fares.error == "ComponentError: component 'compactor' gave no sign of life for 10 s"
        compactor.busy_changed(False)
        await others.began.wait()

    supervised(sim_loop, scenario)
    assert "tidying up 'hanging' hangs and is left behind" in caplog.text


def test_a_step_that_returns_after_it_was_left_behind_has_no_two_others_run_at_once(sim_loop: SimLoop) -> None:
    running: list[str] = []
    most = 0

    async def deaf(_: StopSign) -> int:
        while sim_loop.time() < back_at:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(back_at - sim_loop.time())
        return 0

    async def long(_: StopSign) -> int:
        nonlocal most
        running.append("")
        most = max(most, len(running))
        await asyncio.sleep(20)
        running.pop()
        return 0

    async def scenario(compactor: Compactor, supervisor: Supervisor) -> None:
        compactor.add(CompactionStep("deaf", deaf, quiet=0))
        await asyncio.sleep(1)
        compactor.add(CompactionStep("one", long, quiet=0))
        compactor.add(CompactionStep("other", long, quiet=0))
        compactor.busy_changed(True)
        await asyncio.sleep(11)
        assert supervisor.statistics()["compactor"].restarts == 1
        compactor.busy_changed(False)
        await asyncio.sleep(60)
        assert compactor.statistics().runs == 2

    back_at = sim_loop.time() + 20
    supervised(sim_loop, scenario)
    assert (most, running) == (1, [])


def test_a_step_that_hangs_on_a_thread_is_not_begun_again_before_it_has_returned() -> None:
    go, begun = threading.Event(), threading.Event()
    runs: list[str] = []

    def hangs(_: StopSign) -> int:
        runs.append("hanging")
        begun.set()
        go.wait(30)
        return 0

    async def scenario(manager: ConcurrencyManager) -> None:
        compactor = manager.compactor

        async def work_and_rest() -> None:
            compactor.busy_changed(True)
            compactor.busy_changed(False)
            await asyncio.sleep(0)

        compactor.add(CompactionStep("hanging", hangs, every=0, quiet=0))
        compactor.add(CompactionStep("other", lambda _: runs.append("other") or 1, every=0, quiet=0))
        await eventually(begun.is_set)
        compactor.busy_changed(True)
        compactor._leave_behind()  # as after the restart of a component that hangs
        compactor.busy_changed(False)
        await eventually(lambda: "other" in runs)
        await work_and_rest()
        await eventually(lambda: runs.count("other") == 2)
        assert runs.count("hanging") == 1
        go.set()
        await eventually(lambda: not compactor._out)
        await work_and_rest()
        await eventually(lambda: runs.count("hanging") == 2)

    engine(scenario, adaptive=False)

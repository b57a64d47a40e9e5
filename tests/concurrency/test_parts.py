"""The engine's own parts: they start in order, stop in reverse, and each comes back when it dies."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from tests.concurrency import jobs
from tests.concurrency.engines import engine, eventually
from tests.concurrency.process_jobs import same

from tenire import ConcurrencyManager, Resources
from tenire.concurrency import Child, Component, ComponentChanged, Life, StartupProgress
from tenire.concurrency.blocking import run_blocking
from tenire.concurrency.history_keeper import HistoryKeeper
from tenire.concurrency.loops import EventLoopManager
from tenire.concurrency.loops.watchdog import Watchdog
from tenire.concurrency.parts import Parts
from tenire.concurrency.pools.conversation import Conversation
from tenire.concurrency.pools.mailbox import Mailbox
from tenire.core.compaction import Compaction
from tenire.core.scheduler import Scheduler
from tenire.errors import ComponentError, RejectedError, TaskError
from tenire.observe.load_probe import LoadProbe
from tenire.testing import Faults, cancel_sweep

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tenire.testing import SimLoop


async def double(number: int) -> int:
    return 2 * number


def steps(manager: ConcurrencyManager) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    manager.signals.subscribe(StartupProgress, lambda step: found.append((step.step, step.component)))
    return found


def test_parts_start_after_what_they_need_and_stop_in_exact_reverse() -> None:
    async def main() -> None:
        manager = ConcurrencyManager(cpu=1, memory=1 << 20)
        found = steps(manager)
        async with manager:
            assert await manager.submit(double, 2) == 4
        ready = [name for step, name in found if step == "ready"]
        assert [name for step, name in found if step == "stopped"] == ready[::-1]
        place = {name: ready.index(name) for name in ready}
        assert place["timer"] < place["supervisor"] < place["history"] < place["orchestrator"] < place["thread_pool"]
        assert place["supervisor"] < place["watchdog"]
        assert place["orchestrator"] < min(place["control"], place["compactor"])
        assert ready[-3:] == ["loops", "async_tasks", "garbage"]

    asyncio.run(main())


def test_an_engine_that_cannot_start_says_why_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_queued: object) -> None:
        message = "no room"
        raise MemoryError(message)

    monkeypatch.setattr("tenire.concurrency.parts.set_aside", fail)

    async def main() -> None:
        manager = ConcurrencyManager(cpu=1, memory=1 << 20)
        found = steps(manager)
        with pytest.raises(MemoryError, match="no room") as caught:
            await manager.__aenter__()
        assert caught.value.__notes__ == ["while component 'garbage' started"]
        ready = [name for step, name in found if step == "ready"]
        assert [name for step, name in found if step == "stopped"] == ready[::-1]

    asyncio.run(main())


def test_what_is_stuck_when_a_start_is_broken_off_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    release = threading.Event()
    components = Parts.components

    async def main() -> None:
        loop, begun = asyncio.get_running_loop(), asyncio.Semaphore(0)
        manager = ConcurrencyManager(cpu=1, memory=1 << 20)

        def stuck() -> None:
            loop.call_soon_threadsafe(begun.release)
            release.wait(30)

        def blocks() -> None:
            stuck()

        blocks.__qualname__ = "blocks"

        async def fail() -> None:
            manager.submit(stuck, on="thread", name="hangs")
            blocked = loop.create_task(run_blocking(blocks))
            for _ in range(2):  # one that has not begun is not stuck
                await begun.acquire()
            blocked.cancel()
            message = "no room"
            raise MemoryError(message)

        late = Component("late", fail, needs=("async_tasks",))
        monkeypatch.setattr(Parts, "components", lambda parts: [*components(parts), late])
        try:
            with pytest.raises(MemoryError, match="no room"):
                await manager.__aenter__()
        finally:
            release.set()

    asyncio.run(main())
    told = [record.getMessage() for record in caplog.records]
    assert told == [f"given up, did not end when cancelled: hangs, {__name__}.blocks"]


def test_cancelling_a_start_or_a_stop_leaves_nothing() -> None:
    async def scenario() -> None:
        loop: Any = asyncio.get_running_loop()
        async with ConcurrencyManager(cpu=1, memory=1 << 20, clock=loop.clock) as manager:
            await manager.submit(double, 1)

    assert cancel_sweep(scenario, check=lambda: None).awaits > 5


# -- each of them dies ------------------------------------------------------------


class Watch:
    """What happens to the components of an engine."""

    def __init__(self, manager: ConcurrencyManager) -> None:
        self.seen: list[tuple[str, str]] = []
        self._waiting: list[tuple[tuple[str, str], asyncio.Event]] = []
        manager.signals.subscribe(ComponentChanged, self.note)

    def note(self, change: ComponentChanged) -> None:
        now = (change.component, change.state)
        self.seen.append(now)
        for awaited, happened in self._waiting:
            if awaited == now:
                happened.set()

    async def wait(self, component: str, state: str) -> None:
        happened = asyncio.Event()
        if (component, state) in self.seen:
            return
        self._waiting.append(((component, state), happened))
        async with asyncio.timeout(10):
            await happened.wait()


def watchdog(manager: ConcurrencyManager, faults: Faults) -> None:
    faults.patch(Watchdog, "look", point="kill")


def control(manager: ConcurrencyManager, faults: Faults) -> None:
    faults.patch(LoadProbe, "sample", point="kill")
    manager.control.ask(lambda: None)


def compactor(manager: ConcurrencyManager, faults: Faults) -> None:
    faults.patch(Compaction, "begin", point="kill")
    manager.compactor._ring()


def history(manager: ConcurrencyManager, faults: Faults) -> None:
    faults.patch(HistoryKeeper, "_save", point="kill")
    manager._parts.history._begin(manager._parts.history._save())


def orchestrator(manager: ConcurrencyManager, faults: Faults) -> None:
    faults.patch(Scheduler, "decide", point="kill")


KILLERS: list[Callable[[ConcurrencyManager, Faults], None]] = [watchdog, control, compactor, history, orchestrator]


def test_every_component_of_an_engine_is_asked_for_signs_of_life_and_gives_them(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    beats: set[str] = set()

    async def scenario(manager: ConcurrencyManager) -> None:
        children = manager.supervisor._children
        assert children.keys() >= {
            "events",
            "history",
            "compactor",
            "control",
            "orchestrator",
            "thread_pool",
            "watchdog",
        }
        for name, child in children.items():
            assert child.silence, name
            if child.ask is not None:
                child.ask(lambda name=name: beats.add(name))  # type: ignore[misc]
        await eventually(lambda: beats == {name for name, child in children.items() if child.ask is not None})

    engine(scenario, home=tmp_path / "home")


@pytest.mark.parametrize("kill", KILLERS)
def test_whichever_component_dies_starts_again_while_tasks_run(
    kill: Callable[[ConcurrencyManager, Faults], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    name = kill.__name__

    async def scenario(manager: ConcurrencyManager) -> None:
        watch = Watch(manager)
        with Faults() as faults:
            # What nothing but a supervisor would notice: it ends the thread, or the task.
            faults.at("kill", raise_=SystemExit("killed") if name in ("watchdog", "control") else OSError("killed"))
            kill(manager, faults)
            assert await manager.submit(double, 2) == 4
            await watch.wait(name, "up")
        assert watch.seen == [(name, "down"), (name, "up")]
        fares = manager.snapshot().components
        assert fares[name].health == "unsteady"
        assert fares[name].restarts == 1
        assert "killed" in str(fares[name].error)
        assert {each.health for other, each in fares.items() if other != name} == {"healthy"}
        assert await manager.submit(double, 3) == 6

    engine(scenario, home=tmp_path / "home")
    assert f"component '{name}' failed" in caplog.text


def test_pipelines_of_a_component_that_is_down_start_nothing_until_it_is_up(sim_loop: SimLoop) -> None:
    lives = []

    async def feed(life: Life) -> None:
        lives.append(life)
        life.ready()
        await life.wait_told_to_end()

    async def scenario() -> None:
        async with ConcurrencyManager(cpu=1, memory=1 << 20, clock=sim_loop.clock, seed=1) as manager:
            watch = Watch(manager)
            await manager.supervisor.add(Child("feed", feed, pipelines=("docs",)))
            lives[0].fail(OSError("lost"))
            await watch.wait("feed", "down")
            held, free = manager.submit(double, 1, pipeline="docs"), manager.submit(double, 2, pipeline="other")
            assert await free == 4
            assert held.explain().gate == "suspended"
            assert "component 'feed' failed" in held.explain().reason
            manager.orchestrator.suspend("docs", "paused by hand")
            await watch.wait("feed", "up")
            await asyncio.sleep(1)
            assert "paused by hand" in held.explain().reason, "that is somebody else's affair"
            lives[1].fail(OSError("lost"))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            manager.orchestrator.suspend("docs", None)
            assert not held.done()
            assert "component 'feed' failed" in held.explain().reason, "resuming does not heal it"
            assert await held == 2
            assert manager.supervisor.statistics()["feed"].restarts == 2

    sim_loop.run_until_complete(scenario())


class Broken:
    """In place of a queue: the next ``get`` fails."""

    def __init__(self, real: Any) -> None:
        self.real = real
        self.put = real.put
        self.broken = True

    def get(self) -> Any:
        if self.broken:
            self.broken = False
            message = "killed"
            raise MemoryError(message)
        return self.real.get()


@pytest.mark.parametrize("on", ["thread", "process"])
def test_a_thread_of_the_pools_that_dies_is_replaced_and_no_task_is_lost(on: str) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        watch = Watch(manager)
        pools: Any = manager.thread_pool
        assert await manager.submit(jobs.square, 2, on=on) == 4
        holder, name = (pools._threads, "_jobs") if on == "thread" else (pools._processes._pool[0], "_work")
        broken = Broken(getattr(holder, name))
        setattr(holder, name, broken)
        # The thread waits in the old queue: this one is its last from there.
        first = manager.submit(same, bytes(1 << 20), on=on)
        assert len(await first) == 1 << 20
        await watch.wait("thread_pool", "up")
        assert not broken.broken
        handles = [manager.submit(jobs.square, number, on=on) for number in range(4)]
        assert [await handle for handle in handles] == [0, 1, 4, 9]

    engine(scenario)


@pytest.mark.parametrize("on", ["thread", "process"])
def test_a_job_whose_thread_dies_with_it_ends_with_an_error(on: str) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        assert await manager.submit(jobs.square, 2, on=on) == 4
        with Faults() as faults:
            faults.at("kill", raise_=MemoryError("killed"))
            if on == "thread":
                faults.patch(Mailbox, "post", point="kill")
            else:
                faults.patch(Conversation, "run", point="kill")
            with pytest.raises(TaskError, match="the thread of task 'big' died while it had it"):
                await manager.submit(same, bytes(1 << 20), on=on, name="big")
        assert await manager.submit(jobs.square, 3, on=on) == 9

    engine(scenario, adaptive=False)


def test_an_engine_that_cannot_dispatch_gives_up_and_leaves_nobody_waiting(
    sim_loop: SimLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use(manager: ConcurrencyManager) -> None:
        running = manager.submit(asyncio.Event().wait, name="running")
        await asyncio.sleep(0)
        monkeypatch.setattr(Scheduler, "decide", lambda *_: 1 // 0)
        waiting = manager.submit(double, 1, after=[running], name="waiting")
        for handle in (running, waiting):
            with pytest.raises(TaskError, match=f"task '{handle.name}' was given up with its engine") as caught:
                await handle
            assert isinstance(caught.value.__cause__, ComponentError)
        assert isinstance(caught.value.__cause__.__cause__, ZeroDivisionError)
        with pytest.raises(RejectedError, match="the engine has given up"):
            manager.submit(double, 2)

    async def scenario() -> None:
        async with ConcurrencyManager(cpu=1, memory=1 << 20, clock=sim_loop.clock) as manager:
            await use(manager)

    with pytest.raises(ComponentError, match="component 'orchestrator' failed more than 5 times within 60 s"):
        sim_loop.run_until_complete(scenario())


def test_nothing_is_decided_while_the_orchestrator_is_down(sim_loop: SimLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    decide = Scheduler.decide
    calls: list[float] = []

    def fail_first(scheduler: Scheduler, now: float, most: int) -> Any:
        calls.append(now)
        if len(calls) == 1:
            message = "killed"
            raise OSError(message)
        return decide(scheduler, now, most)

    async def scenario() -> None:
        async with ConcurrencyManager(cpu=1, memory=1 << 20, clock=sim_loop.clock, seed=1) as manager:
            watch = Watch(manager)
            await asyncio.sleep(0)  # its first turn, with nothing to do
            monkeypatch.setattr(Scheduler, "decide", fail_first)
            handles = [manager.submit(double, 1)]
            await watch.wait("orchestrator", "down")
            handles.append(manager.submit(double, 2))
            await asyncio.sleep(0)
            assert len(calls) == 1
            assert [await handle for handle in handles] == [2, 4]

    sim_loop.run_until_complete(scenario())


@pytest.mark.parametrize("point", ["before", "in the middle"])
def test_nothing_is_lost_in_a_turn_that_fails(sim_loop: SimLoop, point: str) -> None:
    """Whatever was decided, or had ended, when it failed, has its turn afterwards."""

    async def scenario() -> None:
        async with ConcurrencyManager(cpu=2, memory=1 << 20, clock=sim_loop.clock, seed=1) as manager:
            with Faults() as faults:
                for name in ("finish", "next_wake"):
                    faults.patch(Scheduler, name)
                    faults.at(name, nth=1 if point == "before" else 7, raise_=OSError("killed"))
                handles = [manager.submit(double, number, needs=Resources(cpu=1)) for number in range(20)]
                assert [await handle for handle in handles] == [2 * number for number in range(20)]
            assert manager.supervisor.statistics()["orchestrator"].restarts >= 1

    sim_loop.run_until_complete(scenario())


def test_a_component_that_cannot_live_is_given_up_and_the_engine_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr(Watchdog, "look", die)
    monkeypatch.setattr("tenire.core.restart._BASE_S", 0.001)
    monkeypatch.setattr("tenire.concurrency.loops.manager.STALL_AFTER_S", 0.001)

    async def main() -> None:
        manager = ConcurrencyManager(cpu=1, memory=1 << 20)
        manager.loops = EventLoopManager(stall_after=0.01)
        async with manager:
            await Watch(manager).wait("watchdog", "failed")
            assert manager.snapshot().components["watchdog"].health in ("stopping", "failed")
            assert await manager.submit(double, 2) == 4

    asyncio.run(main())


def test_cancelling_every_task_of_the_loop_does_not_end_the_engine() -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        watch = Watch(manager)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await watch.wait("control", "up")
        assert await manager.submit(double, 2) == 4

    engine(scenario)

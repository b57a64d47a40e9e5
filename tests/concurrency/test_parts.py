"""The engine's own parts: they start in order, stop in reverse, and each comes back when it dies."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from tests.concurrency.engines import engine

from tenire import ConcurrencyManager
from tenire.concurrency import ComponentChanged, StartupProgress
from tenire.concurrency.history_keeper import HistoryKeeper
from tenire.concurrency.loops import EventLoopManager
from tenire.concurrency.loops.watchdog import Watchdog
from tenire.core.compaction import Compaction
from tenire.observe.load_probe import LoadProbe
from tenire.testing import Faults, cancel_sweep

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


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
    def fail() -> None:
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


KILLERS: list[Callable[[ConcurrencyManager, Faults], None]] = [watchdog, control, compactor, history]


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

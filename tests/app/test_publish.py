"""What a running engine tells other processes, on virtual time."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import stat
import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tenire import ConcurrencyManager, Resources
from tenire.app import publish
from tenire.app.publish import MOST_TASKS, PERIOD_S, STALE_S, Besides, look, publishing
from tenire.app.published import Published, engine_path, last_told, task_id
from tenire.concurrency.control import Control
from tenire.concurrency.quotas import MetricStatistics, QuotaStatistics
from tenire.pipeline.progress import PipelineProgress, StageProgress
from tenire.storage.home import Home, HomeLock
from tenire.testing import FakeExecutor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from tenire.concurrency.periodic import Periodic
    from tenire.testing import SimLoop


class Engine:
    """An engine that runs one pipeline, ``docs``, on a home."""

    def __init__(self, manager: ConcurrencyManager, home: Home) -> None:
        self.manager = manager
        self.home = home
        self.progress = {"docs": PipelineProgress("docs", state="running", stages=[StageProgress("embed")])}

    async def told(self) -> Published | None:
        return await asyncio.to_thread(last_told, self.home)

    def submit(self, fn: Any, *, name: str = "docs: step", pipeline: str = "docs", cpu: float = 1) -> Any:
        return self.manager.submit(fn, name=name, pipeline=pipeline, needs=Resources(cpu=cpu))


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with HomeLock(Home(tmp_path / "home")):
        yield Home(tmp_path / "home")


@pytest.fixture
def engine(sim_loop: SimLoop, home: Home) -> Callable[..., Any]:
    """Runs a scenario in an engine that publishes."""

    def run(scenario: Callable[[Engine], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            try:
                async with ConcurrencyManager(clock=sim_loop.clock, cpu=1, memory=1) as manager:
                    engine = Engine(manager, home)
                    async with publishing(home, manager, engine.progress, clock=sim_loop.clock):
                        return await scenario(engine)
            finally:
                await asyncio.sleep(10)  # what was left going on would show now

        return sim_loop.run_until_complete(main())

    return run


@pytest.fixture
def writes(sim_loop: SimLoop, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The times at which the file was written."""
    times: list[float] = []
    replace = publish._replace

    def counted(path: Path, published: Published) -> None:
        times.append(sim_loop.time())
        replace(path, published)

    monkeypatch.setattr(publish, "_replace", counted)
    return times


def test_a_run_is_told_from_its_start_to_its_end(engine: Any, home: Home, sim_loop: SimLoop) -> None:
    async def scenario(engine: Engine) -> None:
        await asyncio.sleep(0.5)
        first = await engine.told()
        assert first is not None
        assert (first.pid, first.level, first.running, first.queued) == (os.getpid(), "normal", 0, 0)
        assert first.pipelines["docs"].totals == engine.progress["docs"].totals()
        assert first.pipelines["docs"].tasks == []
        if sys.platform != "win32":
            assert stat.S_IMODE(engine_path(home).stat().st_mode) == 0o600

        release = asyncio.Event()
        handles = [engine.submit(release.wait, name=f"docs: {word}") for word in ("read", "clean", "store")]
        engine.submit(release.wait, pipeline="other", cpu=0)
        engine.progress["docs"].seen = 7
        await asyncio.sleep(PERIOD_S + 0.5)
        second = await engine.told()
        assert second is not None
        assert (second.running, second.queued) == (2, 2)
        docs = second.pipelines["docs"]
        assert (docs.running, docs.queued, docs.totals["seen"]) == (1, 2, 7)
        assert [(task.state, task.name) for task in docs.tasks] == [
            ("running", "docs: read"), ("ready", "docs: clean"), ("ready", "docs: store"),
        ]  # fmt: skip
        assert [task.id for task in docs.tasks] == [task_id(handle.seq) for handle in handles]
        assert [task.reason for task in docs.tasks] == [handle.explain().reason for handle in handles]
        assert second.at > first.at
        release.set()

    engine(scenario)
    assert os.listdir(home.path) == ["engine.lock"]


def test_it_is_written_only_if_something_changed_and_once_a_second_at_most(
    engine: Any, writes: list[float], sim_loop: SimLoop
) -> None:
    async def scenario(engine: Engine) -> None:
        started = sim_loop.time()
        for _ in range(50):  # something changes all the time
            engine.progress["docs"].done += 1
            await asyncio.sleep(0.1)
        assert len(writes) == 5
        assert all(later - earlier > 0.8 * PERIOD_S for earlier, later in pairwise(writes))
        await asyncio.sleep(1.5 * PERIOD_S)
        writes.clear()
        for _ in range(71):  # only time passes; each write comes up to a look later
            engine.progress["docs"].seconds = sim_loop.time() - started
            await asyncio.sleep(STALE_S / 20)
        assert len(writes) == 3
        told = await engine.told()
        assert told is not None
        assert told.pipelines["docs"].totals["seconds"] > STALE_S

    engine(scenario)


def test_some_tasks_are_told_those_that_run_first(engine: Any) -> None:
    async def scenario(engine: Engine) -> None:
        release = asyncio.Event()
        for _ in range(30):
            engine.submit(release.wait)
        for number in range(2):
            engine.submit(release.wait, name=f"free {number}", cpu=0)
        await asyncio.sleep(PERIOD_S + 0.5)
        told = await engine.told()
        assert told is not None
        tasks = told.pipelines["docs"].tasks
        assert len(tasks) == MOST_TASKS
        assert len({task.id for task in tasks}) == MOST_TASKS
        assert [task.name for task in tasks[:3]] == ["docs: step", "free 0", "free 1"]
        assert {task.state for task in tasks[:3]} == {"running"}
        assert {task.state for task in tasks[3:]} == {"ready"}
        release.set()

    engine(scenario)


def test_of_very_many_tasks_only_those_that_run_are_looked_at(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "_TOO_MANY", 5)

    async def scenario(engine: Engine) -> None:
        release = asyncio.Event()
        for _ in range(7):
            engine.submit(release.wait)
        await asyncio.sleep(0.1)
        told = look(engine.manager, engine.progress, at=0.0)
        assert (told.running, told.queued) == (1, 6)
        assert [task.state for task in told.pipelines["docs"].tasks] == ["running"]
        release.set()

    engine(scenario)


@pytest.mark.parametrize("when", [0.0, 0.0005, 0.5, PERIOD_S, PERIOD_S + 0.01])
def test_a_run_that_is_cancelled_leaves_nothing(engine: Any, home: Home, when: float) -> None:
    async def scenario(engine: Engine) -> None:
        current = asyncio.current_task()
        assert current is not None
        engine.manager.timer.after(when, lambda: current.cancel())
        while True:
            engine.progress["docs"].done += 1
            await asyncio.sleep(0.1)

    with pytest.raises(asyncio.CancelledError):
        engine(scenario)
    assert os.listdir(home.path) == ["engine.lock"]


@pytest.mark.parametrize("again", [False, True], ids=["cancelled once", "cancelled twice"])
def test_a_slow_disk_leaves_nothing_either(engine: Any, home: Home, sim_loop: SimLoop, *, again: bool) -> None:
    async def scenario(engine: Engine) -> None:
        current = asyncio.current_task()
        assert current is not None
        await asyncio.sleep(1.5 * PERIOD_S)
        sim_loop.set_default_executor(FakeExecutor(sim_loop, min_s=5.0, max_s=5.0))
        engine.progress["docs"].done += 1
        await asyncio.sleep(PERIOD_S)  # it is being written
        sim_loop.set_default_executor(FakeExecutor(sim_loop))
        if again:
            sim_loop.call_later(0.5, current.cancel)
        current.cancel()
        await asyncio.sleep(1)

    with pytest.raises(asyncio.CancelledError):
        engine(scenario)
    assert os.listdir(home.path) == ["engine.lock"]


def test_one_that_hangs_starts_again_and_one_that_is_slow_does_not(
    engine: Any, home: Home, sim_loop: SimLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on the system's clock, on which alone components are asked for signs of life.
    monkeypatch.setattr(publish, "SYSTEM_CLOCK", sim_loop.clock)

    async def scenario(engine: Engine) -> None:
        fares = lambda: engine.manager.supervisor.statistics()["publisher"]  # noqa: E731
        await asyncio.sleep(1000)
        for _ in range(1000):  # so busy that each tick writes
            engine.progress["docs"].done += 1
            await asyncio.sleep(0.2)
        assert (fares().health, fares().restarts) == ("healthy", 0), "to write each time is no hanging"
        sim_loop.set_default_executor(FakeExecutor(sim_loop, min_s=25.0, max_s=25.0))
        for _ in range(100):
            engine.progress["docs"].done += 1
            await asyncio.sleep(10)
        assert (fares().health, fares().restarts) == ("healthy", 0), "a slow disk is no hanging"
        await asyncio.sleep(50)
        fake = FakeExecutor(sim_loop, min_s=150.0, max_s=150.0)
        sim_loop.set_default_executor(fake)
        engine.progress["docs"].done += 1
        await asyncio.sleep(100)
        assert fares().restarts >= 1
        assert fares().error == "ComponentError: component 'publisher' gave no sign of life for 60 s"
        assert fake.running == 1, "what hangs is not begun again beside that"
        sim_loop.set_default_executor(FakeExecutor(sim_loop))
        await asyncio.sleep(200)
        assert fares().health == "healthy", "the disk answers again"

    engine(scenario)


def test_one_that_does_not_tick_any_more_starts_again(
    engine: Any, sim_loop: SimLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "SYSTEM_CLOCK", sim_loop.clock)

    async def scenario(engine: Engine) -> None:
        (ticking,) = tickings
        ticking.cancel()
        await asyncio.sleep(70)
        assert engine.manager.supervisor.statistics()["publisher"].restarts == 1
        assert [each.active for each in tickings] == [False, True]

    tickings: list[Periodic] = []
    every = Control.every

    def seen(control: Control, period: float, call: Callable[[], object]) -> Periodic:
        tickings.append(every(control, period, call))
        return tickings[-1]

    monkeypatch.setattr(Control, "every", seen)
    engine(scenario)


def test_a_slow_disk_gets_one_file_at_a_time(engine: Any, sim_loop: SimLoop, writes: list[float]) -> None:
    async def scenario(engine: Engine) -> None:
        sim_loop.set_default_executor(FakeExecutor(sim_loop, min_s=2.5 * PERIOD_S, max_s=2.5 * PERIOD_S))
        for _ in range(100):
            engine.progress["docs"].done += 1
            await asyncio.sleep(0.1)

    engine(scenario)
    assert 3 <= len(writes) <= 5


def test_nothing_is_told_after_the_end(home: Home, sim_loop: SimLoop) -> None:
    async def main() -> None:
        async with ConcurrencyManager(clock=sim_loop.clock, cpu=1, memory=1) as manager:
            engine = Engine(manager, home)
            async with publishing(home, manager, engine.progress, clock=sim_loop.clock):
                await asyncio.sleep(1)
            engine.progress["docs"].done += 1
            await asyncio.sleep(5)
            assert len(manager.timer) == 0

    sim_loop.run_until_complete(main())
    assert os.listdir(home.path) == ["engine.lock"]


def test_a_task_that_was_given_up_is_not_told(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "_TOO_MANY", -1)

    async def scenario(engine: Engine) -> None:
        handle = engine.submit(asyncio.Event().wait)
        handle.cancel()
        await asyncio.sleep(0.1)
        # As a thread that cannot be stopped is: its task has ended, and it still runs.
        monkeypatch.setattr(engine.manager.orchestrator, "unfinished", lambda: [handle])
        assert look(engine.manager, engine.progress, at=0.0).pipelines["docs"].tasks == []

    engine(scenario)


def test_quotas_are_told_with_what_they_have_left(engine: Any) -> None:
    used = QuotaStatistics(
        metrics={
            "requests": MetricStatistics(500, "declared", 480, 3, 0.5),
            "tokens": MetricStatistics(None, "unknown", 7, 0, 0.5),
        },
        slots=16, in_flight=12, waiting=40, granted=900, refused=1, frozen_for=1.2,
    )  # fmt: skip

    async def scenario(engine: Engine) -> None:
        besides = Besides(quotas=lambda: {"main": used})
        told = look(engine.manager, engine.progress, at=0.0, besides=besides).quotas["main"]
        assert (told.metrics["requests"].spent, told.metrics["requests"].limit) == (480, 500)
        assert (told.metrics["tokens"].spent, told.metrics["tokens"].limit) == (7, None)
        assert (told.in_flight, told.slots, told.waiting, told.refused, told.pause) == (12, 16, 40, 1, 2)
        assert look(engine.manager, engine.progress, at=0.0).quotas == {}

    engine(scenario)


def test_half_a_file_is_not_left_either(engine: Any, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(source: object, target: object) -> None:
        raise PermissionError(13, "Permission denied")

    async def scenario(engine: Engine) -> None:
        monkeypatch.setattr(publish.os, "replace", refused)
        await asyncio.sleep(1)
        assert "engine.json.new" in await asyncio.to_thread(os.listdir, home.path)

    engine(scenario)
    assert os.listdir(home.path) == ["engine.lock"]


def test_what_a_killed_engine_left_is_replaced(engine: Any, home: Home) -> None:
    engine_path(home).write_text("old")
    engine_path(home).chmod(0o644)
    (home.path / "engine.json.new").write_text("half")

    async def scenario(engine: Engine) -> None:
        await asyncio.sleep(0.5)
        assert await engine.told() is not None
        if sys.platform != "win32":
            assert stat.S_IMODE(engine_path(home).stat().st_mode) == 0o600

    engine(scenario)
    assert os.listdir(home.path) == ["engine.lock"]


def test_a_home_that_cannot_be_written_is_told_once_and_stops_nothing(
    engine: Any, home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    full = True
    replace = publish._replace

    def no_space(path: Path, published: Published) -> None:
        if full:
            raise OSError(28, "No space left on device")
        replace(path, published)

    monkeypatch.setattr(publish, "_replace", no_space)

    async def scenario(engine: Engine) -> None:
        nonlocal full
        await asyncio.sleep(3.5 * PERIOD_S)
        full = False
        await asyncio.sleep(PERIOD_S)
        assert await engine.told() is not None, "it was tried again though nothing had changed"

    engine(scenario)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "No space left" in warning


def test_names_with_bytes_that_are_no_text_are_told(engine: Any) -> None:
    async def scenario(engine: Engine) -> None:
        release = asyncio.Event()
        engine.submit(release.wait, name="docs: \udcff.txt")
        engine.progress["docs"].error = "cannot read \udcff.txt"
        await asyncio.sleep(PERIOD_S + 0.5)
        told = await engine.told()
        assert told is not None
        assert told.pipelines["docs"].tasks[0].name == "docs: \udcff.txt"
        release.set()

    engine(scenario)


GOOD: dict[str, Any] = {
    "pid": os.getpid(), "at": 1.0, "level": "normal", "load": None, "running": 0, "queued": 0, "pipelines": {},
}  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "[" * 100_000, "\0\0", json.dumps({**GOOD, "pid": os.getpid() + 1}),
        json.dumps({**GOOD, "pipelines": {"docs": 5}}), json.dumps({**GOOD, "level": 3}), json.dumps({"pid": 1}),
    ],
    ids=["empty", "cut", "list", "null", "deep", "zeros", "another-pid", "pipelines", "level", "part"],
)  # fmt: skip
def test_a_file_that_is_old_or_damaged_counts_as_none(home: Home, text: str) -> None:
    engine_path(home).write_text(json.dumps({**GOOD, "later": "versions may say more"}))
    assert last_told(home) is not None
    engine_path(home).write_text(text)
    assert last_told(home) is None
    engine_path(home).write_bytes(b"\xff\xfe" + text.encode())
    assert last_told(home) is None


def test_nobody_is_believed_who_does_not_hold_the_home(tmp_path: Path) -> None:
    home = Home(tmp_path)
    engine_path(home).write_text(json.dumps(GOOD))
    assert last_told(home) is None
    with HomeLock(home):
        assert last_told(home) is not None
    assert last_told(home) is None

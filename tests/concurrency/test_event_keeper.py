"""What happens in an engine is written down in its home, and nothing that a user said."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from tests.concurrency.engines import engine, eventually

from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency import event_keeper as event_keeper_module
from tenire.concurrency.compactor import StepEnded
from tenire.concurrency.control_events import LevelChanged, OverloadChanged, SlotsChanged
from tenire.concurrency.event_keeper import DELAY_S, PERIOD_S, EventKeeper, event_keeper
from tenire.concurrency.periodic import Periodic
from tenire.concurrency.signals import Signals
from tenire.concurrency.supervisor import Child, Supervisor
from tenire.concurrency.supervisor.child import ComponentChanged
from tenire.concurrency.timer import UniversalTimer
from tenire.core.fair_share import PipelineShare
from tenire.core.intervals import AdaptiveInterval
from tenire.core.load import Level
from tenire.core.tasks import State
from tenire.observe.event_log import EventLog
from tenire.testing import FakeExecutor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tenire import ConcurrencyManager
    from tenire.testing import SimLoop


class Engine:
    """As much of an engine as a keeper needs."""

    def __init__(self, loop: SimLoop, home: Path) -> None:
        self.signals = Signals()
        self.pipelines: dict[str, PipelineShare] = {}
        self.timer = UniversalTimer(loop=loop, clock=loop.clock, on_thread=lambda: True)
        self.keeper = EventKeeper(
            home,
            signals=self.signals,
            pipelines=lambda: self.pipelines,
            clock=loop.clock,
            timer=self.timer,
            every=self.timer.every,
        )


def lines(home: Path) -> list[dict[str, Any]]:
    path = home / "logs" / "events.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def events(home: Path) -> list[str]:
    return [line["event"] for line in lines(home)]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path / "home"
    made.mkdir()
    return made


def run(loop: SimLoop, home: Path, scenario: Callable[[Engine], Awaitable[Any]]) -> None:
    async def main() -> None:
        it = Engine(loop, home)
        it.keeper.start(cpu=2.0)
        await scenario(it)
        await it.keeper.aclose()
        assert len(it.timer) <= 1, "a last delay may run out"
        it.timer.close()

    loop.run_until_complete(main())


def test_what_happens_is_written_together_after_a_moment(sim_loop: SimLoop, home: Path) -> None:
    async def scenario(it: Engine) -> None:
        it.signals.emit(LevelChanged("high", "elevated", 0.51234, "the memory is full"))
        it.signals.emit(SlotsChanged(1.0, 2.0, 3.0, "other programs use 1 of the cores"))
        it.signals.emit(OverloadChanged(("idle", "low"), ("idle",), 2.34567, "normal and low work waited 2.3 s"))
        it.signals.emit(ComponentChanged("feed", "down", ValueError("sk-verysecretkey12345"), 1))
        it.signals.emit(ComponentChanged("feed", "up", None, 0))
        it.signals.emit(StepEnded("garbage", 100, 0.01, True))
        it.signals.emit(StepEnded("garbage", 0, 0.01, True))
        await asyncio.sleep(DELAY_S / 2)
        assert events(home) == []
        await asyncio.sleep(DELAY_S)
        assert events(home) == [
            "engine started", "level changed", "slots changed", "overload changed", "component changed", "tidied up",
        ]  # fmt: skip

    run(sim_loop, home, scenario)
    started, level, _, overload, component, tidied, ended = lines(home)
    assert started["cpu"] == 2.0
    assert (level["level"], level["load"], level["reason"]) == ("high", 0.512, "the memory is full")
    assert (overload["last"], overload["before"], overload["wait"]) == ("idle low", "idle", 2.346)
    assert (component["component"], component["error"]) == ("feed", "ValueError"), "a message may quote anything"
    assert tidied["bytes"] == 100
    assert ended["event"] == "engine ended"
    assert ended["seconds"] == pytest.approx(1.5 * DELAY_S, abs=0.3)


def test_what_pipelines_did_is_written_once_a_minute_if_anything(sim_loop: SimLoop, home: Path) -> None:
    async def scenario(it: Engine) -> None:
        share = it.pipelines["docs"] = PipelineShare("docs")
        share.submitted = 3
        share.count_end(State.FAILED)
        await asyncio.sleep(3 * PERIOD_S + 2 * DELAY_S)
        assert events(home) == ["engine started", "pipeline counted"]
        share.count_end(State.DONE)

    run(sim_loop, home, scenario)
    _, first, last, _ = lines(home)
    assert (first["pipeline"], first["submitted"], first["ended"], first["failed"]) == ("docs", 3, 1, 1)
    assert (last["ended"], last["failed"]) == (2, 1)


def test_a_home_that_is_not_there_is_not_made_and_what_was_before_is_kept_for_it(
    sim_loop: SimLoop, tmp_path: Path
) -> None:
    home = tmp_path / "later"

    async def scenario(it: Engine) -> None:
        await asyncio.sleep(2 * PERIOD_S)
        assert not home.exists()
        home.mkdir()
        await asyncio.sleep(PERIOD_S + 1)
        assert events(home) == ["engine started"]

    run(sim_loop, home, scenario)

    async def nothing(it: Engine) -> None:
        await asyncio.sleep(5)

    run(sim_loop, tmp_path / "never", nothing)
    assert not (tmp_path / "never").exists()


def test_of_two_engines_on_one_home_the_first_one_writes(
    sim_loop: SimLoop, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(it: Engine) -> None:
        await asyncio.sleep(2 * DELAY_S)
        other = Engine(sim_loop, home)
        other.keeper.start(cpu=7.0)
        await asyncio.sleep(2 * DELAY_S)
        await other.keeper.aclose()
        other.timer.close()

    with caplog.at_level(logging.WARNING, logger="tenire.events"):
        run(sim_loop, home, scenario)
    assert [line.get("cpu") for line in lines(home)] == [2.0, None]
    assert "another engine writes there" in caplog.text


def test_a_place_that_cannot_be_opened_for_a_while_is_told_once_and_tried_again(
    sim_loop: SimLoop, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (home / "logs").write_text("in the way")

    async def scenario(it: Engine) -> None:
        await asyncio.sleep(3 * PERIOD_S)
        (home / "logs").unlink()
        await asyncio.sleep(PERIOD_S + 1)
        assert events(home) == ["engine started"]

    with caplog.at_level(logging.WARNING, logger="tenire.events"):
        run(sim_loop, home, scenario)
    assert caplog.text.count("events are not written") == 1


def test_one_that_is_broken_off_starts_again_and_loses_no_line(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = [MemoryError("no memory")]
    flush = EventLog.flush

    def breaks(log: EventLog) -> None:
        if broken:
            raise broken.pop()
        flush(log)

    monkeypatch.setattr(EventLog, "flush", breaks)
    monkeypatch.setattr(event_keeper_module, "DELAY_S", 0.01)

    async def scenario(manager: ConcurrencyManager) -> None:
        await eventually(lambda: manager.supervisor.statistics()["events"].restarts == 1)
        await eventually(lambda: manager.supervisor.statistics()["events"].health == "unsteady")
        manager.signals.emit(StepEnded("garbage", 100, 0.01, True))

    engine(scenario, home=home)
    told = events(home)
    assert told[0] == "engine started"
    assert told[-1] == "engine ended"
    assert told.count("engine started") == told.count("tidied up") == 1, "it hears each event once"
    assert "component changed" in told
    assert "MemoryError: no memory" in caplog.text


def test_one_that_hangs_starts_again_and_loses_no_line_and_one_that_is_slow_does_not(
    sim_loop: SimLoop, home: Path
) -> None:
    async def main() -> None:
        it = Engine(sim_loop, home)
        child = Child("events", it.keeper.run, silence=60.0, ask=it.keeper.ask)
        supervisor = Supervisor([child], timer=it.timer, clock=sim_loop.clock)
        await supervisor.start()
        sim_loop.set_default_executor(FakeExecutor(sim_loop, min_s=25.0, max_s=25.0))
        for _ in range(20):
            it.signals.emit(StepEnded("slow", 100, 0.01, True))
            await asyncio.sleep(40)
        assert supervisor.statistics()["events"].restarts == 0, "a slow disk is no hanging"
        fake = FakeExecutor(sim_loop, min_s=400.0, max_s=400.0)
        sim_loop.set_default_executor(fake)
        for _ in range(3):
            it.signals.emit(StepEnded("hanging", 100, 0.01, True))
            await asyncio.sleep(40)
        fares = supervisor.statistics()["events"]
        assert fares.restarts >= 1
        assert fares.error == "ComponentError: component 'events' gave no sign of life for 60 s"
        assert fake.running == 1, "what hangs is not begun again beside that"
        sim_loop.set_default_executor(FakeExecutor(sim_loop))
        await asyncio.sleep(600)
        assert supervisor.statistics()["events"].health == "healthy", "the disk answers again"
        await supervisor.aclose()
        await it.keeper.aclose()
        it.timer.close()

    sim_loop.run_until_complete(main())
    assert [line["step"] for line in lines(home) if line["event"] == "tidied up"] == ["slow"] * 20 + ["hanging"] * 3


def test_it_looks_at_pipelines_less_often_under_load(sim_loop: SimLoop, home: Path) -> None:
    level = Level.NORMAL
    looks: list[float] = []

    def pipelines() -> dict[str, PipelineShare]:
        looks.append(sim_loop.time())
        return {}

    async def main() -> None:
        nonlocal level
        timer = UniversalTimer(loop=sim_loop, clock=sim_loop.clock, on_thread=lambda: True)

        def every(period: float, call: Callable[[], object]) -> Periodic:
            return Periodic(timer, AdaptiveInterval(period, rng=random.Random(1)), lambda: level, call)

        keeper = EventKeeper(
            home, signals=Signals(), pipelines=pipelines, clock=sim_loop.clock, timer=timer, every=every
        )
        keeper.start()
        await asyncio.sleep(10.5 * PERIOD_S)
        calm = len(looks)
        level = Level.HIGH
        await asyncio.sleep(40 * PERIOD_S)
        assert 9 <= calm <= 11
        assert 9 <= len(looks) - calm <= 12
        await keeper.aclose()
        timer.close()

    sim_loop.run_until_complete(main())


def test_an_engine_writes_its_life_into_a_home_that_is_there(home: Path) -> None:
    def broken() -> None:
        raise ValueError("a private text")

    async def scenario(manager: ConcurrencyManager) -> None:
        handle = manager.submit(broken, pipeline="docs")
        with pytest.raises(ValueError, match="private"):
            await handle

    engine(scenario, home=home)
    assert events(home) == ["engine started", "pipeline counted", "engine ended"]
    assert lines(home)[1]["failed"] == 1
    assert "private" not in (home / "logs" / "events.jsonl").read_text(encoding="utf-8")


def test_a_pipeline_whose_name_is_no_text_costs_no_line(home: Path) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        await manager.submit(int, pipeline="p\udcff")

    engine(scenario, home=home)
    assert events(home) == ["engine started", "pipeline counted", "engine ended"]
    assert lines(home)[1]["pipeline"] == "p\udcff"


def test_last_lines_that_cannot_be_written_are_told(
    sim_loop: SimLoop, home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(_: EventLog) -> None:
        raise MemoryError("no memory")

    async def scenario(_: Engine) -> None:
        monkeypatch.setattr(EventLog, "flush", breaks)

    run(sim_loop, home, scenario)
    assert "writing down what happens was broken off" in caplog.text
    assert "MemoryError: no memory" in caplog.text


def test_there_is_none_without_a_home_or_in_virtual_time(sim_loop: SimLoop, home: Path) -> None:
    none: Any = None
    real: Any = SimpleNamespace(clock=SYSTEM_CLOCK)
    virtual: Any = SimpleNamespace(clock=sim_loop.clock)
    assert event_keeper(None, none, none, timer=real, control=none) is None
    assert event_keeper(home, none, none, timer=virtual, control=none) is None

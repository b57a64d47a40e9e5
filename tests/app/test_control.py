"""What another process may tell a running engine: the operations, on virtual time."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from tenire import ConcurrencyManager, ConfigError, Priority, RejectedError, Resources, Retry
from tenire.app.control import EngineControl, controlled
from tenire.app.orders import NewPriority
from tenire.concurrency.channel import LoopChannel
from tenire.pipeline.progress import PipelineProgress
from tenire.storage.home import Home, HomeLock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tenire.testing import SimLoop


class Engine:
    """An engine with two pipelines that do nothing by themselves."""

    def __init__(self, manager: ConcurrencyManager, loop: SimLoop) -> None:
        self.manager = manager
        self.progress = {name: PipelineProgress(name, state="running") for name in ("docs", "notes")}
        self.control = EngineControl(manager, self.progress, clock=loop.clock)

    def submit(self, pipeline: str = "docs", name: str = "step") -> Any:
        return self.manager.submit(asyncio.sleep, 10, pipeline=pipeline, name=name, needs=Resources(cpu=1))

    def told(self) -> dict[str, Any]:
        pipelines: dict[str, Any] = json.loads(self.control.status())["pipelines"]
        return pipelines

    def adopt(self, name: str, *, slow: float = 0.0) -> asyncio.Task[None]:
        async def run() -> None:
            try:
                await asyncio.sleep(1000)
            finally:
                await asyncio.sleep(slow)
                self.progress[name].state = "cancelled"

        task = asyncio.get_running_loop().create_task(run())
        self.control.adopt(name, task)
        return task


@pytest.fixture
def engine(sim_loop: SimLoop) -> Callable[..., Any]:
    def run(scenario: Callable[[Engine], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            async with ConcurrencyManager(clock=sim_loop.clock, cpu=1, memory=1) as manager:
                return await scenario(Engine(manager, sim_loop))

        return sim_loop.run_until_complete(main())

    return run


def test_a_paused_pipeline_starts_nothing_until_it_is_resumed(engine: Any) -> None:
    async def scenario(engine: Engine) -> None:
        first, second = engine.submit(), engine.submit()
        await asyncio.sleep(1)
        assert engine.control.pause("docs") == {"pipeline": "docs", "state": "paused"}
        assert engine.control.pause("docs")["state"] == "paused", "asking again changes nothing"
        await first  # what runs comes to its end
        await asyncio.sleep(100)
        assert second.explain().gate == "suspended"
        assert "tenire resume docs" in second.explain().reason
        assert engine.progress["docs"].shown_state == "paused"
        assert (engine.told()["docs"]["totals"]["state"], engine.progress["docs"].state) == ("paused", "running")
        assert engine.told()["notes"]["totals"]["state"] == "running"
        assert engine.control.resume("docs") == {"pipeline": "docs", "state": "running"}
        assert engine.told()["docs"]["totals"]["state"] == "running"
        await second

    engine(scenario)


def test_a_pipeline_that_was_not_paused_may_be_resumed(engine: Any) -> None:
    async def scenario(engine: Engine) -> None:
        assert engine.control.resume("docs")["state"] == "running"

    engine(scenario)


def test_a_level_is_changed_at_once(engine: Any) -> None:
    async def scenario(engine: Engine) -> None:
        assert engine.control.priority(NewPriority("docs", "HIGH")) == {"pipeline": "docs", "priority": "high"}
        share = engine.manager.orchestrator.scheduler.shares.pipelines["docs"]
        assert share.priority == Priority.HIGH
        assert (engine.told()["docs"]["priority"], engine.told()["notes"]["priority"]) == ("high", "")
        with pytest.raises(ConfigError, match="priority must be one of critical, high, normal, low, idle"):
            engine.control.priority(NewPriority("docs", "urgent"))

    engine(scenario)


def test_cancelling_waits_for_the_end_and_may_be_asked_twice(engine: Any, sim_loop: SimLoop) -> None:
    async def scenario(engine: Engine) -> None:
        run = engine.adopt("docs", slow=0.5)
        await asyncio.sleep(1)
        engine.control.pause("docs")
        began = sim_loop.time()
        first = asyncio.get_running_loop().create_task(engine.control.cancel("docs"))
        await asyncio.sleep(0.1)  # while it tidies up
        with pytest.raises(RejectedError, match="pipeline docs is over: its state is cancelled"):
            engine.control.pause("docs")
        assert await engine.control.cancel("docs") == {"pipeline": "docs", "state": "cancelled"}
        assert await first == {"pipeline": "docs", "state": "cancelled"}
        assert run.cancelled()
        assert 0.5 <= sim_loop.time() - began < 0.6, "its tidying up was not cut short by the second call"
        assert engine.told()["docs"]["totals"]["state"] == "cancelled"

    engine(scenario)


def test_who_stops_asking_does_not_stop_the_end(engine: Any) -> None:
    async def scenario(engine: Engine) -> None:
        run = engine.adopt("docs", slow=0.5)
        await asyncio.sleep(1)
        asking = asyncio.get_running_loop().create_task(engine.control.cancel("docs"))
        await asyncio.sleep(0.1)
        asking.cancel()
        await asyncio.sleep(1)
        assert run.cancelled()

    engine(scenario)


def test_a_pipeline_that_has_not_begun_never_does(engine: Any) -> None:
    async def scenario(engine: Engine) -> None:
        assert await engine.control.cancel("docs") == {"pipeline": "docs", "state": "cancelled"}
        run = engine.adopt("docs")
        await asyncio.wait([run])
        assert run.cancelled()

    engine(scenario)


@pytest.mark.parametrize("state", ["done", "failed", "cancelled"])
def test_what_is_over_is_over(engine: Any, state: str) -> None:
    async def scenario(engine: Engine) -> None:
        engine.progress["docs"].state = state
        for tell in (engine.control.pause, engine.control.resume):
            with pytest.raises(RejectedError, match=f"is over: its state is {state}") as caught:
                tell("docs")
            assert "next run" in (caught.value.hint or "")
        with pytest.raises(RejectedError, match="is over"):
            engine.control.priority(NewPriority("docs", "low"))
        if state != "cancelled":
            with pytest.raises(RejectedError, match="is over"):
                await engine.control.cancel("docs")
        assert engine.told()["docs"]["totals"]["state"] == state

    engine(scenario)


def test_an_unknown_pipeline_is_told_with_those_there_are(engine: Any) -> None:
    async def scenario(engine: Engine) -> None:
        control = engine.control
        for tell in (control.pause, control.resume, lambda name: control.priority(NewPriority(name, "low"))):
            with pytest.raises(ConfigError, match="runs no pipeline 'nope'; it runs: docs, notes"):
                tell("nope")
        with pytest.raises(ConfigError, match="runs no pipeline"):
            await control.cancel("nope")

    engine(scenario)


def test_any_task_can_be_asked_about_not_only_those_that_status_shows(engine: Any) -> None:
    async def scenario(engine: Engine) -> None:
        engine.submit("docs", "first")
        for number in range(50):
            handle = engine.submit("elsewhere", f"\udcff {number}")
        await asyncio.sleep(1)
        told = json.loads(engine.control.why(f"t{handle.seq}"))
        explained = handle.explain()
        assert told["pipeline"] == "elsewhere"
        assert (told["task"]["name"], told["task"]["reason"]) == ("\udcff 49", explained.reason)
        for unknown in ("t999999", "", "docs"):
            with pytest.raises(ConfigError, match="knows no task"):
                engine.control.why(unknown)
        await engine.manager.shutdown(cancel=True)

    engine(scenario)


def test_what_has_ended_lately_can_still_be_asked_about(engine: Any) -> None:
    async def broken() -> None:
        raise ValueError("no such page.")

    async def scenario(engine: Engine) -> None:
        done, waiting = engine.submit("docs", "done"), engine.submit("docs", "waiting")
        failed = engine.manager.submit(broken, name="failed", pipeline="docs", retry=Retry(attempts=2))
        await asyncio.sleep(1)
        waiting.cancel()
        await asyncio.sleep(24)
        assert failed.exception() is not None
        told = [json.loads(engine.control.why(f"t{handle.seq}")) for handle in (done, waiting, failed)]
        assert [(each["pipeline"], each["task"]["state"]) for each in told] == [
            ("docs", "done"), ("docs", "cancelled"), ("docs", "failed"),
        ]  # fmt: skip
        assert [each["task"]["reason"] for each in told[:2]] == [
            "it took 10 s and ended 15 s ago", "it was cancelled 24 s ago",
        ]  # fmt: skip
        assert told[2]["task"]["reason"].endswith("at try 2, with ValueError: no such page")

    engine(scenario)


def test_without_a_socket_the_engine_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, sim_loop: SimLoop
) -> None:
    async def no_space(_: LoopChannel) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LoopChannel, "start", no_space)

    async def main() -> str:
        async with (
            ConcurrencyManager(clock=sim_loop.clock, cpu=1, memory=1) as manager,
            controlled(home, manager, {"docs": PipelineProgress("docs")}, clock=sim_loop.clock) as control,
        ):
            return control.status()

    with HomeLock(home := Home(tmp_path)):
        assert "docs" in sim_loop.run_until_complete(main())
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "cannot control this engine for now: No space left on device" in warning


def test_a_socket_is_made_once_there_is_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, sim_loop: SimLoop
) -> None:
    tries: list[LoopChannel] = []

    async def no_space_at_first(channel: LoopChannel) -> None:
        tries.append(channel)
        if len(tries) < 4:
            raise OSError(28, "No space left on device")

    closed: list[LoopChannel] = []

    async def close(channel: LoopChannel) -> None:
        closed.append(channel)

    monkeypatch.setattr(LoopChannel, "start", no_space_at_first)
    monkeypatch.setattr(LoopChannel, "aclose", close)

    async def main() -> None:
        async with (
            ConcurrencyManager(clock=sim_loop.clock, cpu=1, memory=1) as manager,
            controlled(home, manager, {"docs": PipelineProgress("docs")}, clock=sim_loop.clock),
        ):
            assert manager.supervisor.statistics()["channel"].health == "healthy", "nobody waits for it"
            await asyncio.sleep(60)
            assert len(tries) == 4, "it listens, and tries no more"
            assert closed == []

    with HomeLock(home := Home(tmp_path)):
        sim_loop.run_until_complete(main())
    assert closed == tries[-1:]
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1

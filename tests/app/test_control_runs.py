"""Runs that are paused and cancelled from outside, over the real channel."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tenire.app.ask import ask
from tenire.app.config import load_config
from tenire.app.inspect import status, verify
from tenire.app.orders import NewPriority
from tenire.app.runs import arun_config
from tenire.app.why import why
from tenire.errors import ChannelError, ConfigError, TenireError
from tenire.storage.home import Home, HomeLock

from .conftest import LEDGERS, VOLCANOES, ZEBRAS, write

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
    from pathlib import Path

    from tenire.concurrency import ConcurrencyManager
    from tenire.pipeline.progress import PipelineProgress, RunReport

Live = dict[str, "PipelineProgress"]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., RunReport]:
    """Runs ``one``, ``two`` and, after ``one``, ``three``, beside a scenario.

    Pipelines named in ``paused`` are paused before the scenario begins. Until then none of them
    starts anything: they are so small that they could end before the first word has arrived.
    """
    for name, text in (("one", ZEBRAS), ("two", LEDGERS), ("three", VOLCANOES)):
        write(tmp_path / name / "a.txt", text)
    head = 'embedder = "static"\nsource'
    file = write(
        tmp_path / "tenire.toml",
        f'[tenire]\nhome = "home"\n[pipelines.one]\n{head} = "one"\n[pipelines.two]\n{head} = "two"\n'
        f'[pipelines.three]\n{head} = "three"\nafter = ["one"]\n',
    )

    config, home = load_config(file), Home(tmp_path / "home")

    def run(scenario: Callable[[Home, Live], Awaitable[object]], *, paused: tuple[str, ...]) -> RunReport:
        async def main() -> RunReport:
            engines: list[ConcurrencyManager] = []
            beside: list[asyncio.Task[None]] = []

            @asynccontextmanager
            async def held_back(manager: ConcurrencyManager) -> AsyncIterator[None]:
                engines.append(manager)
                hold(list(config.pipelines), "the scenario has not begun")
                yield

            def hold(names: Iterable[str], reason: str | None) -> None:
                for name in names:
                    engines[0].orchestrator.suspend(name, reason)

            async def play(live: Live) -> None:
                try:
                    for name in paused:
                        await tell(home, "pause", name)
                    hold(set(live) - set(paused), None)
                    await scenario(home, live)
                except BaseException:
                    hold(live, None)  # or the run would never end
                    raise

            def begun(live: Live) -> None:
                beside.append(asyncio.get_running_loop().create_task(play(live)))

            report = await arun_config(config, on_start=begun, beside=held_back)
            await beside[0]
            return report

        return asyncio.run(main())

    return run


async def tell(home: Home, operation: str, argument: Any) -> Any:
    """As another process does: from a thread, over the socket."""
    return await asyncio.to_thread(ask, home, operation, argument, timeout=10.0)


def states(report: RunReport) -> dict[str, str]:
    return {name: progress.state for name, progress in report.pipelines.items()}


def test_a_cancelled_pipeline_keeps_the_others_going_and_stops_those_after_it(
    run: Callable[..., RunReport], tmp_path: Path
) -> None:
    seen: dict[str, Any] = {}

    async def scenario(home: Home, live: Live) -> None:
        assert (await tell(home, "cancel", "one"))["state"] == "cancelled"
        seen.update(await asyncio.to_thread(status, home.path))
        await tell(home, "priority", NewPriority("two", "low"))
        await tell(home, "resume", "two")

    report = run(scenario, paused=("one", "two"))
    assert states(report) == {"one": "cancelled", "two": "done", "three": "failed"}
    assert report.pipelines["three"].error == "it runs after one, which was cancelled"
    told = {name: pipeline["state"] for name, pipeline in seen["pipelines"].items()}
    assert told == {"one": "cancelled", "two": "paused", "three": "failed"}
    assert (seen["running"], seen["answers"], seen["pid"]) == (True, True, os.getpid())
    home = tmp_path / "home"
    assert not {"control.sock", "control.key", "control.port"} & set(os.listdir(home))
    assert verify(home).ok


def test_a_pipeline_that_waits_for_another_can_be_cancelled(run: Callable[..., RunReport]) -> None:
    async def scenario(home: Home, live: Live) -> None:
        assert live["three"].state == "waiting"
        assert (await tell(home, "cancel", "three"))["state"] == "cancelled"
        await tell(home, "resume", "one")

    report = run(scenario, paused=("one",))
    assert states(report) == {"one": "done", "two": "done", "three": "cancelled"}
    assert report.failed == ()


def test_a_paused_run_still_ends_at_once_when_it_is_interrupted(run: Callable[..., RunReport]) -> None:
    async def scenario(home: Home, live: Live) -> None:
        while live["one"].seconds == 0:  # noqa: ASYNC110 - it has to be in the middle of things
            await asyncio.sleep(0.01)
        main = next(task for task in asyncio.all_tasks() if "main" in repr(task.get_coro()))
        try:
            async with asyncio.timeout(5):
                main.cancel()
                while live["one"].state != "cancelled":  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.01)
        except TimeoutError:
            main.cancel()  # one that hangs ends with the second
            raise

    with pytest.raises(asyncio.CancelledError):
        run(scenario, paused=("one", "two", "three"))


def test_tasks_are_explained_by_the_engine_itself(run: Callable[..., RunReport]) -> None:
    async def scenario(home: Home, live: Live) -> None:
        found: list[Any] = []
        while not found:
            facts = await asyncio.to_thread(status, home.path)
            found = facts["pipelines"]["two"]["tasks"]
        answer = await asyncio.to_thread(why, home.path, found[0]["id"])
        assert answer.pipeline == "two"
        assert answer.facts.get("gate") in ("suspended", "none")
        with pytest.raises(ConfigError, match="knows no task 't99999'"):
            await asyncio.to_thread(why, home.path, "t99999")
        await tell(home, "resume", "two")

    run(scenario, paused=("two",))


def test_without_an_engine_there_is_nobody_to_tell(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with pytest.raises(ChannelError, match="no engine is running on") as caught:
        ask(home, "pause", "docs", timeout=10.0)
    assert "tenire run" in (caught.value.hint or "")
    with HomeLock(home), pytest.raises(TenireError, match="no engine listens"):
        ask(home, "pause", "docs", timeout=10.0, patience=0.05)

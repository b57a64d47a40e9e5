"""What a person does from any face, to a real run and to a home without one."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tenire.app.config import ingest_config, load_config
from tenire.app.feed import LEVELS, Feed
from tenire.app.feed.holdings import Holdings
from tenire.app.runs import arun_config
from tenire.errors import ConfigError, RejectedError, StoreError, TenireError
from tenire.storage.home import Home

from .conftest import LEDGERS, ZEBRAS, write

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from tenire.app.feed import View
    from tenire.concurrency import ConcurrencyManager
    from tenire.pipeline.progress import RunReport

BROKEN = "%PDF-1.4 this is no document"


async def until(feed: Feed, true: Callable[[View], object]) -> View:
    async with asyncio.timeout(60):
        view = feed.view
        while not true(view):
            view = await feed.newer(view.number)
    return view


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., RunReport]:
    """Runs ``one`` and ``two`` with a scenario beside it, which begins before them, once its feed sees the engine."""
    write(tmp_path / "one" / "a.txt", ZEBRAS)
    write(tmp_path / "one" / "b.pdf", BROKEN)
    write(tmp_path / "two" / "a.txt", LEDGERS)
    head = 'embedder = "static"\nsource'
    text = f'[tenire]\nhome = "home"\n[pipelines.one]\n{head} = "one"\n[pipelines.two]\n{head} = "two"\n'
    config, home = load_config(write(tmp_path / "tenire.toml", text)), Home(tmp_path / "home")

    def run(scenario: Callable[[Feed], Awaitable[object]]) -> RunReport:
        async def main() -> RunReport:
            begun, engines = asyncio.Event(), []

            @asynccontextmanager
            async def held_back(manager: ConcurrencyManager) -> AsyncIterator[None]:
                engines.append(manager)
                hold("nobody looks on yet")  # so small a run could end before
                yield

            def hold(reason: str | None) -> None:
                for name in config.pipelines:
                    engines[0].orchestrator.suspend(name, reason)

            async def beside() -> None:
                await begun.wait()
                await until(feed, lambda view: view.attached)
                hold(None)
                await scenario(feed)

            # A scenario that fails ends the run, which it may have paused; and it cannot outlast the run for long.
            async with Feed(home) as feed, asyncio.TaskGroup() as tasks:
                scene = tasks.create_task(beside())
                report = await tasks.create_task(arun_config(config, on_start=lambda _: begun.set(), beside=held_back))
                async with asyncio.timeout(60):
                    await scene
            return report

        return asyncio.run(main())

    return run


def test_a_run_is_seen_and_steered_from_its_start_to_its_end(run: Callable[..., RunReport], tmp_path: Path) -> None:
    for number in range(400):  # so many that a run is paused long before it ends
        write(tmp_path / "one" / f"{number}.txt", f"{ZEBRAS} {number}")
        write(tmp_path / "two" / f"{number}.txt", f"{LEDGERS} {number}")

    async def scenario(feed: Feed) -> None:
        actions = feed.actions
        assert (await actions.pause("one")).text == "one is paused"
        await actions.pause("two")
        await until(feed, lambda view: view.attached and view.pipelines["one"].state == "paused")
        assert (await actions.priority("two", "low")).facts == {"pipeline": "two", "priority": "low"}
        assert (await actions.weight("two", 3)).text == "two has weight 3 now"
        view = await until(feed, lambda view: view.pipelines["two"].weight == 3)
        assert view.pipelines["two"].priority == "low"
        with pytest.raises(ConfigError, match="priority must be one of"):
            await actions.priority("two", "urgent")
        with pytest.raises(ConfigError, match="runs no pipeline 'three'"):
            await actions.weight("three", 1)
        assert (await actions.resume("one")).text == "one goes on"
        view = await until(feed, lambda view: view.pipelines["one"].state == "done")
        with pytest.raises(RejectedError, match="one is over"):
            await actions.pause("one")
        view = await until(feed, lambda view: view.quarantined)
        assert [(entry.source.rpartition("/")[2], entry.retrying) for entry in view.quarantine] == [("b.pdf", False)]
        answer = await actions.why(view.quarantine[0].id)
        assert answer.state == "quarantined"
        assert (await actions.retry([view.quarantine[0].id])).text == "1 item will be tried again by the next run"
        await until(feed, lambda view: view.quarantine[0].retrying)
        assert (await actions.cancel("two")).text == "two is cancelled; everything finished is kept"
        texts = [event.text for event in feed.view.events]
        assert "one was paused" in texts
        assert any(text.startswith("one is done: 401 files done, 1 in quarantine") for text in texts)

    report = run(scenario)
    assert {name: each.state for name, each in report.pipelines.items()} == {"one": "done", "two": "cancelled"}


def test_a_run_is_ended_with_what_has_ended_by_itself_meanwhile(run: Callable[..., RunReport], tmp_path: Path) -> None:
    for number in range(400):  # so many that it is paused long before it ends
        write(tmp_path / "two" / f"{number}.txt", f"{LEDGERS} {number}")

    async def scenario(feed: Feed) -> None:
        await feed.actions.pause("two")
        await until(feed, lambda view: view.attached and view.pipelines["one"].state == "done")
        with pytest.raises(ConfigError, match="runs no pipeline 'three'"):
            await feed.actions.end(["three"])
        outcome = await feed.actions.end(["one", "two"])
        assert outcome.text == "the run has ended; everything finished is kept"

    report = run(scenario)
    assert {name: each.state for name, each in report.pipelines.items()} == {"one": "done", "two": "cancelled"}


def test_without_an_engine_the_last_run_is_shown_and_the_home_can_be_used(
    run: Callable[..., RunReport], tmp_path: Path
) -> None:
    async def scenario(feed: Feed) -> None:
        assert feed.view.attached

    run(scenario)

    async def later() -> None:
        async with Feed(home) as feed:
            view = await until(feed, lambda view: view.passages)
            assert (view.link, view.documents, view.passages, view.quarantined) == ("gone", 2, 2, 1)
            assert {name: each.state for name, each in view.pipelines.items()} == {"one": "done", "two": "done"}
            assert view.pipelines["one"].finished == 2
            result = await feed.actions.search("zebras", mode="text")
            assert [hit.text for hit in result.hits] == [ZEBRAS]
            with pytest.raises(TenireError, match="no engine"):
                await feed.actions.pause("one")
            write(tmp_path / "one" / "b.pdf", LEDGERS)
            assert (await feed.actions.retry([view.quarantine[0].id])).text == "1 item tried again"
            await until(feed, lambda view: not view.quarantined)
            with pytest.raises(RejectedError, match="there is no entry 'q99'"):
                await feed.actions.retry(["q99"])

    home = Home(tmp_path / "home")
    asyncio.run(later())


def test_a_home_that_does_not_exist_can_be_watched_until_a_run_makes_it(tmp_path: Path) -> None:
    config = ingest_config([str(write(tmp_path / "a.txt", ZEBRAS))], home=tmp_path / "home", embedder="static")
    home = Home(tmp_path / "home")

    async def main() -> None:
        async with Feed(home) as feed:
            view = await until(feed, lambda view: view.note.startswith("no engine is running"))
            assert (view.link, view.pipelines, view.passages) == ("gone", {}, 0)
            with pytest.raises(StoreError):
                await feed.actions.search("zebras")
            assert not await asyncio.to_thread(home.path.exists), "looking on writes nothing"
            await arun_config(config)
            await until(feed, lambda view: view.passages == 1)

    asyncio.run(main())


def test_the_levels_are_told_the_highest_first() -> None:
    assert LEVELS == ("critical", "high", "normal", "low", "idle")


def test_what_changes_while_the_ledger_is_read_is_read_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path / "home")

    async def main() -> None:
        async with Feed(home) as feed:
            first = await until(feed, lambda view: view.note.startswith("no engine is running"))
            began, go_on = threading.Event(), threading.Event()
            numbers = iter((1, 2))

            def read(home: Home, *, running: bool) -> Holdings:
                number = next(numbers)
                began.set()
                go_on.wait(30)
                return Holdings(documents=number)

            monkeypatch.setattr("tenire.app.feed.feed.read_holdings", read)
            feed._renew_holdings()
            await asyncio.to_thread(began.wait, 30)
            feed._renew_holdings()
            go_on.set()
            view = await until(feed, lambda view: view.documents == 2)
            assert view.number > first.number

    asyncio.run(main())

"""What tasks usually take survives the engine, and never stops it."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from tenire.concurrency import history_keeper
from tenire.concurrency.history_keeper import PERIOD_S, HistoryKeeper
from tenire.concurrency.supervisor import Child, Supervisor
from tenire.concurrency.timer import UniversalTimer
from tenire.core.history import ENOUGH, History
from tenire.errors import StoreError
from tenire.storage.home import Home, HomeLock
from tenire.storage.ledger import Ledger
from tenire.testing import FakeExecutor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tenire.testing import SimLoop


class Engine:
    """As much of an engine as a keeper needs."""

    def __init__(self, loop: SimLoop, home: Path | None) -> None:
        self.history = History()
        self.timer = UniversalTimer(loop=loop, clock=loop.clock, on_thread=lambda: True)
        self.keeper = HistoryKeeper(self.history, home, every=self.timer.every)

    def work(self, name: str, seconds: float = 1.0) -> None:
        for _ in range(ENOUGH):
            self.history.record(name, seconds)


@pytest.fixture
def engine(sim_loop: SimLoop, tmp_path: Path) -> Callable[..., None]:
    """Runs a scenario in an engine with a home, from its start to its end."""

    def run(
        scenario: Callable[[Engine], Awaitable[Any]] | None = None, *, home: Path | None = tmp_path / "home", **how: Any
    ) -> None:
        async def main() -> None:
            engine = Engine(sim_loop, home)
            engine.keeper.start()
            if scenario is not None:
                await scenario(engine)
            await engine.keeper.aclose(**how)
            assert len(engine.timer) == 0
            engine.timer.close()

        sim_loop.run_until_complete(main())

    return run


def saved(home: Path) -> History:
    with Ledger.read(Home(home)) as ledger:
        return History.from_rows(ledger.history.rows())


def test_what_one_engine_saw_the_next_one_knows(engine: Any, tmp_path: Path) -> None:
    async def first(engine: Engine) -> None:
        engine.work("a", 3.0)

    async def second(engine: Engine) -> None:
        engine.work("b", 4.0)
        assert engine.history.usual("a") is None, "the file has not been read yet, and nobody waits for it"
        await asyncio.sleep(5)
        assert engine.history.usual("a") == 3.0
        engine.work("a", 3.0)

    engine(first)
    engine(second)
    history = saved(tmp_path / "home")
    assert (history.usual("a"), history.usual("b")) == (3.0, 4.0)
    assert [history.summary(name).count for name in "ab"] == [2 * ENOUGH, ENOUGH]  # type: ignore[union-attr]


def test_an_engine_that_ends_before_the_file_was_read_loses_nothing(engine: Any, tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        engine.work("a")

    for _ in range(3):
        engine(work)
    assert saved(tmp_path / "home").summary("a").count == 3 * ENOUGH  # type: ignore[union-attr]


def test_it_is_saved_every_minute_if_something_changed(
    engine: Any, sim_loop: SimLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[tuple[float, list[str]]] = []
    write = history_keeper._write

    def counted(home: Home, rows: list[Any]) -> None:
        writes.append((sim_loop.time() // PERIOD_S, [row[1] for row in rows]))
        write(home, rows)

    monkeypatch.setattr(history_keeper, "_write", counted)

    async def scenario(engine: Engine) -> None:
        await asyncio.sleep(1.5 * PERIOD_S)
        engine.work("a")
        await asyncio.sleep(PERIOD_S)
        assert (await asyncio.to_thread(saved, tmp_path / "home")).usual("a") == 1.0
        await asyncio.sleep(5 * PERIOD_S)
        engine.work("a")
        engine.work("b")
        await asyncio.sleep(PERIOD_S)

    engine(scenario)
    assert writes == [(2, ["a"]), (8, ["a", "b"])]


def test_an_engine_that_did_nothing_makes_no_home(engine: Any, tmp_path: Path) -> None:
    async def wait(engine: Engine) -> None:
        await asyncio.sleep(3 * PERIOD_S)

    engine(wait)
    assert not (tmp_path / "home").exists()
    engine(home=None)


def test_an_engine_without_a_home_keeps_it_in_memory(engine: Any, tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        engine.work("a")
        assert len(engine.timer) == 0

    engine(work, home=None)
    assert list(tmp_path.iterdir()) == []


def test_it_is_saved_while_the_engine_holds_lock_and_ledger(engine: Any, tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        engine.work("a")
        await asyncio.sleep(2 * PERIOD_S)

    home = Home(tmp_path / "home")
    with HomeLock(home), Ledger.open(home) as ledger:
        engine(work)
        assert len(ledger.history.rows()) == 1


def test_a_ledger_that_another_engine_is_making_is_waited_for(
    engine: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home = Home(tmp_path / "home")
    lock = HomeLock(home)
    lock.acquire()

    async def work(engine: Engine) -> None:
        engine.work("a")
        await asyncio.sleep(1.5 * PERIOD_S)
        assert not home.ledger_path.exists()
        lock.release()

    engine(work)
    assert saved(home.path).usual("a") == 1.0
    assert caplog.messages == []


def test_what_cannot_be_saved_is_told_once_and_tried_again(
    engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write, broken = history_keeper._write, True

    def breaks(home: Home, rows: list[Any]) -> None:
        if broken:
            message = "no space left"
            raise StoreError(message)
        write(home, rows)

    monkeypatch.setattr(history_keeper, "_write", breaks)

    async def work(engine: Engine) -> None:
        nonlocal broken
        engine.work("a")
        await asyncio.sleep(5.5 * PERIOD_S)
        broken = False
        await asyncio.sleep(PERIOD_S)
        assert (await asyncio.to_thread(saved, tmp_path / "home")).usual("a") == 1.0

    engine(work)
    assert [record.levelno for record in caplog.records if record.levelno >= logging.WARNING] == [logging.WARNING]
    assert "could not be saved: no space left" in caplog.text


@pytest.mark.parametrize("content", [b"not a database at all" * 300, b""], ids=["rubbish", "empty"])
def test_a_ledger_that_cannot_be_read_stops_nothing(
    engine: Any, tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    home = Home(tmp_path / "home")
    home.create()
    home.ledger_path.write_bytes(content)

    async def work(engine: Engine) -> None:
        engine.work("a")
        await asyncio.sleep(3 * PERIOD_S)

    engine(work)
    if content:
        assert home.ledger_path.read_bytes() == content
        assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1
    else:
        assert saved(home.path).usual("a") == 1.0


def test_a_home_that_cannot_be_made_stops_nothing(
    engine: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(engine: Engine) -> None:
        engine.work("a")

    (tmp_path / "file").touch()
    engine(work, home=tmp_path / "file" / "home")
    assert "could not be saved" in caplog.text


def test_a_writer_that_keeps_the_file_is_not_waited_for(
    engine: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home = Home(tmp_path / "home")
    Ledger.open(home).close()
    with sqlite3.connect(home.ledger_path, isolation_level=None) as connection:
        connection.execute("BEGIN IMMEDIATE")

        async def work(engine: Engine) -> None:
            engine.work("a")

        engine(work, haste=True)
        connection.execute("ROLLBACK")
    connection.close()
    assert "another program keeps" in caplog.text


def test_a_disk_that_hangs_does_not_hold_up_the_end(
    engine: Any, sim_loop: SimLoop, caplog: pytest.LogCaptureFixture
) -> None:
    sim_loop.set_default_executor(FakeExecutor(sim_loop, min_s=3600.0, max_s=3600.0))

    async def work(engine: Engine) -> None:
        engine.work("a")

    for haste, limit in ((False, 5.1), (True, 0.4)):
        started = sim_loop.time()
        engine(work, haste=haste)
        assert sim_loop.time() - started < limit
    assert "the disk did not answer in time" in caplog.text


def test_a_disk_slower_than_the_period_is_not_asked_twice_at_once(
    engine: Any, sim_loop: SimLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[float] = []
    monkeypatch.setattr(history_keeper, "_write", lambda home, rows: writes.append(sim_loop.time()))

    async def work(engine: Engine) -> None:
        await asyncio.sleep(0.5 * PERIOD_S)
        sim_loop.set_default_executor(FakeExecutor(sim_loop, min_s=1.5 * PERIOD_S, max_s=1.5 * PERIOD_S))
        for _ in range(10):
            engine.work("a")
            await asyncio.sleep(PERIOD_S)

    engine(work)
    assert len(writes) in (4, 5)


def test_one_that_is_killed_while_it_reads_counts_nothing_twice(engine: Any, sim_loop: SimLoop, tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        engine.work("a")

    engine(work)

    async def main() -> None:
        again = Engine(sim_loop, tmp_path / "home")
        supervisor = Supervisor([Child("history", again.keeper.run)], timer=again.timer, clock=sim_loop.clock)
        await supervisor.start()
        (run,) = [task for task in asyncio.all_tasks() if task.get_name() == "tenire history"]
        run.cancel()
        await asyncio.sleep(5)
        assert supervisor.statistics()["history"].restarts == 1
        assert again.history.summary("a").count == ENOUGH  # type: ignore[union-attr]
        await supervisor.aclose()
        await again.keeper.aclose()
        again.timer.close()

    sim_loop.run_until_complete(main())


def test_one_that_hangs_starts_again_and_one_that_is_slow_does_not(sim_loop: SimLoop, tmp_path: Path) -> None:
    async def main() -> None:
        it = Engine(sim_loop, tmp_path / "home")
        child = Child("history", it.keeper.run, silence=60.0, ask=it.keeper.ask)
        supervisor = Supervisor([child], timer=it.timer, clock=sim_loop.clock)
        await supervisor.start()
        await asyncio.sleep(2.5 * PERIOD_S)
        sim_loop.set_default_executor(FakeExecutor(sim_loop, min_s=25.0, max_s=25.0))
        for _ in range(5):
            it.work("a")
            await asyncio.sleep(PERIOD_S)
        assert supervisor.statistics()["history"].restarts == 0, "nothing to do, or a slow disk, is no hanging"
        fake = FakeExecutor(sim_loop, min_s=12 * PERIOD_S, max_s=12 * PERIOD_S)
        sim_loop.set_default_executor(fake)
        it.work("a")
        await asyncio.sleep(2 * PERIOD_S)
        fares = supervisor.statistics()["history"]
        assert fares.restarts >= 1
        assert fares.error == "ComponentError: component 'history' gave no sign of life for 60 s"
        assert fares.health != "healthy"
        assert fake.running == 1, "what hangs is not begun again beside that"
        sim_loop.set_default_executor(FakeExecutor(sim_loop))
        await asyncio.sleep(12 * PERIOD_S)
        assert supervisor.statistics()["history"].health == "healthy", "the disk answers again"
        it.work("a")
        await asyncio.sleep(2 * PERIOD_S)
        assert (await asyncio.to_thread(saved, tmp_path / "home")).summary("a").count == 7 * ENOUGH  # type: ignore[union-attr]
        await supervisor.aclose()
        await it.keeper.aclose()
        it.timer.close()

    sim_loop.run_until_complete(main())


def test_a_keeper_that_never_started_ends(sim_loop: SimLoop, tmp_path: Path) -> None:
    async def main() -> None:
        engine = Engine(sim_loop, tmp_path / "home")
        engine.work("a")
        await engine.keeper.aclose()

    sim_loop.run_until_complete(main())
    assert not (tmp_path / "home").exists()

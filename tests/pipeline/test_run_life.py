"""The life of a run, on virtual time (see ``sim_engine``)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tenire.pipeline.chunks import Chunk
from tenire.pipeline.flow import flowing
from tenire.pipeline.progress import PipelineProgress
from tenire.pipeline.room import Room
from tenire.pipeline.run_life import RunLife
from tenire.testing import SimLoop

from .sim_engine import Engine, SimStore, sim_pools

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tenire.storage.records import Run

    Script = Callable[[Engine, RunLife], Awaitable[None]]


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Script], Any]:
    """``live(script)`` plays a script with a life of its own, and returns progress and what the ledger noted."""

    def play(script: Script) -> tuple[PipelineProgress, str | None, dict[str, Any]]:
        noted: list[tuple[str, dict[str, Any]]] = []

        async def main() -> None:
            async with engine, engine.session:
                finish = engine.session.finish_run

                def note(run: Run, state: str, totals: Any) -> None:
                    noted.append((state, dict(totals)))
                    finish(run, state, totals)

                monkeypatch.setattr(engine.session, "finish_run", note)
                life = RunLife(
                    "p",
                    manager=engine.manager,
                    session=engine.session,
                    progress=progress,
                    clock=loop.clock,
                    count=lambda: setattr(progress, "calls", progress.calls + 1),
                )
                try:
                    await script(engine, life)
                finally:
                    engine.manager.orchestrator.take_in_ended()
                    engine.check_nothing_is_held()

        progress = PipelineProgress("p")
        with sim_pools(monkeypatch), SimLoop(0, max_virtual_seconds=1_000) as loop:
            engine = Engine(loop, tmp_path, SimStore())
            try:
                loop.run_until_complete(main())
            except (RuntimeError, asyncio.CancelledError) as error:
                told.append(error)
        [(state, totals)] = noted or [(None, {})]
        return progress, state, totals

    told: list[BaseException] = []
    play.told = told  # type: ignore[attr-defined]
    return play


def test_a_run_that_ends_well_is_noted_with_its_totals(live: Any) -> None:
    ends: list[str] = []

    async def script(engine: Engine, life: RunLife) -> None:
        async with life:
            run = await life.begin(at_end=lambda run, state: ends.append(state))
            assert run is life.run
            assert life.progress.state == "running"
            await asyncio.sleep(5)
            life.progress.done = 7

    progress, noted, totals = live(script)
    assert (progress.state, noted, ends) == ("done", "done", ["done"])
    assert totals["done"] == 7
    assert totals["seconds"] == progress.seconds >= 5
    assert progress.calls > 10  # it was counted now and then


def test_a_run_that_fails_before_it_began_is_not_in_the_ledger(live: Any) -> None:
    async def script(engine: Engine, life: RunLife) -> None:
        async with life:
            raise RuntimeError("no such field")

    progress, noted, _ = live(script)
    assert (progress.state, noted) == ("failed", None)


def test_what_ended_a_run_is_told_and_not_what_went_wrong_at_its_end(live: Any) -> None:
    def at_end(run: Run, state: str) -> None:
        raise RuntimeError("the output, too")

    async def script(engine: Engine, life: RunLife) -> None:
        async with life:
            await life.begin(at_end=at_end)
            raise RuntimeError("the first story")

    progress, noted, _ = live(script)
    assert (progress.state, noted) == ("failed", "failed")
    assert [str(error) for error in live.told] == ["the first story"]


def test_a_run_whose_end_goes_wrong_says_so(live: Any) -> None:
    def at_end(run: Run, state: str) -> None:
        raise RuntimeError("the output cannot be written")

    async def script(engine: Engine, life: RunLife) -> None:
        async with life:
            await life.begin(at_end=at_end)

    _, noted, _ = live(script)
    assert noted == "done"
    assert [str(error) for error in live.told] == ["the output cannot be written"]


def test_a_paused_run_that_is_cancelled_notes_its_end(live: Any) -> None:
    async def script(engine: Engine, life: RunLife) -> None:
        async def run() -> None:
            async with life:
                await life.begin()
                engine.manager.orchestrator.suspend("p", "paused")
                await asyncio.sleep(100)

        running = asyncio.create_task(run())
        await asyncio.sleep(10)
        running.cancel()
        await running

    progress, noted, _ = live(script)
    assert (progress.state, noted) == ("cancelled", "cancelled")
    [told] = live.told
    assert isinstance(told, asyncio.CancelledError)


class Listing:
    def __init__(self, *chunks: Chunk) -> None:
        self.chunks = list(chunks)

    def next_chunk(self) -> Chunk | None:
        return self.chunks.pop(0) if self.chunks else None


def test_what_is_listed_is_counted(live: Any) -> None:
    listing = Listing(
        Chunk(seen=3, seen_bytes=30, unchanged=1, unchanged_bytes=10), Chunk(seen=2, quarantined=2, skipped=4)
    )

    async def script(engine: Engine, life: RunLife) -> None:
        async with life:
            await life.begin()
            while await life.next_chunk(listing) is not None:
                assert not life.progress.listed

    progress, _, totals = live(script)
    assert progress.listed
    assert (progress.bytes_seen, progress.bytes_done) == (30, 10)
    names = ("seen", "unchanged", "quarantined", "skipped")
    assert {name: totals[name] for name in names} == {"seen": 5, "unchanged": 1, "quarantined": 2, "skipped": 4}


def test_a_source_is_counted_ahead_once(live: Any) -> None:
    async def script(engine: Engine, life: RunLife) -> None:
        async with life:
            await life.begin()
            for _ in range(3):
                life.count_ahead(lambda: [1, 2])
            await asyncio.sleep(50)

    progress, _, _ = live(script)
    assert (progress.expected, progress.bytes_expected) == (2, 3)


def test_the_first_failure_ends_the_flow_and_all_room_comes_back(live: Any) -> None:
    async def script(engine: Engine, life: RunLife) -> None:
        room = Room(engine.manager.data_manager, pipeline="p", places=3)

        async def beside() -> None:
            await asyncio.Event().wait()

        async def batch(seconds: float) -> None:
            await asyncio.sleep(seconds)
            raise RuntimeError(f"after {seconds}")

        async with flowing(room) as flow:
            flow.beside(beside())
            for seconds in (3, 2, 1):
                await room.take(100)
                flow.start(batch(seconds))
            await room.take(100)

    live(script)
    assert [str(error) for error in live.told] == ["after 1"]


def test_a_flow_is_drained_once_every_batch_is_through(live: Any) -> None:
    through: list[float] = []

    async def script(engine: Engine, life: RunLife) -> None:
        async def batch(seconds: float) -> None:
            await asyncio.sleep(seconds)
            through.append(seconds)

        async with flowing(Room(engine.manager.data_manager, pipeline="p", places=1)) as flow:
            await flow.drained()
            for seconds in (2, 1):
                flow.start(batch(seconds))
            await flow.drained()
            assert through == [1, 2]

    live(script)
    assert through == [1, 2]
    assert not live.told

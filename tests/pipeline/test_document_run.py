"""One run of a documents pipeline, on virtual time (see ``sim_engine``)."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tenire.errors import StoreError
from tenire.pipeline import group_queue
from tenire.pipeline.chunks import BATCH_BYTES
from tenire.pipeline.vectorise import UnusableTextError
from tenire.pipeline.verify import verify
from tenire.storage.ledger import Ledger
from tenire.testing import SimLoop, cancel_sweep

from . import sim_engine
from .sim_engine import Engine, Files, Pools, SimStore, sim_pools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from tenire.concurrency.handle import Handle
    from tenire.pipeline.progress import PipelineProgress


def texts(count: int, words: int = 3) -> dict[str, str | None]:
    return {f"/f/{number:05}": " ".join(f"w{number}x{word}" for word in range(words)) for number in range(count)}


@pytest.fixture
def store() -> SimStore:
    return SimStore()


@pytest.fixture
def simulate(
    tmp_path: Path, store: SimStore, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., dict[str, PipelineProgress]]]:
    """Runs pipelines side by side, checks that nothing is still held, and returns what they counted."""

    def run(
        *sources: Files, seed: int = 0, cpu: float = 2, memory: int = 1 << 30, recipe: str = "r1", **pools: Any
    ) -> Any:
        async def main() -> None:
            async with engine, engine.session:
                async with asyncio.TaskGroup() as tasks:
                    for number, files in enumerate(sources):
                        tasks.create_task(engine.run(f"p{number}", files, recipe=recipe).run())
                engine.manager.orchestrator.take_in_ended()
                engine.check_nothing_is_held()

        with sim_pools(monkeypatch, **pools), SimLoop(seed, max_virtual_seconds=600) as loop:
            engine = Engine(loop, tmp_path, store, cpu=cpu, memory=memory)
            loop.run_until_complete(main())
        with Ledger.read(engine.session.home) as ledger:
            assert verify(ledger, store).ok
        return engine.progress

    return run


def counts(progress: PipelineProgress) -> dict[str, int]:
    names = ("seen", "done", "unchanged", "quarantined", "removed")
    found = {name: getattr(progress, name) for name in names}
    assert found["seen"] == found["done"] + found["unchanged"] + found["quarantined"]
    assert progress.state == "done"
    return {name: count for name, count in found.items() if count}


# -- room: nothing waits for ever -------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_more_batches_of_files_without_passages_than_fit_in_flight_come_to_an_end(simulate: Any, seed: int) -> None:
    # Such files never fill a group; somebody has to send it off all the same.
    files = Files({f"/f/{number}": "" for number in range(40)}, size=BATCH_BYTES)
    assert counts(simulate(files, seed=seed)["p0"]) == {"seen": 40, "done": 40}


@pytest.mark.parametrize("seed", range(3))
def test_more_refused_files_than_fit_in_flight_come_to_an_end(simulate: Any, seed: int) -> None:
    files = Files({f"/f/{number}": "BAD" for number in range(40)}, size=BATCH_BYTES)
    assert counts(simulate(files, seed=seed)["p0"]) == {"seen": 40, "quarantined": 40}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("memory", [1 << 10, 5 << 20, 40 << 20])
def test_a_budget_smaller_than_the_files_is_shared_by_two_pipelines_without_a_deadlock(
    simulate: Any, seed: int, memory: int
) -> None:
    sizes = [Files(texts(25), size=BATCH_BYTES), Files(texts(25, words=2), size=BATCH_BYTES // 3)]
    progress = simulate(*sizes, seed=seed, memory=memory)
    assert [counts(each)["done"] for each in progress.values()] == [25, 25]


def test_one_cpu_slot_is_enough_for_two_pipelines(simulate: Any) -> None:
    progress = simulate(Files(texts(300)), Files(texts(300, words=2)), cpu=1, memory=4096)
    assert [counts(each)["done"] for each in progress.values()] == [300, 300]


@pytest.mark.parametrize("long", [True, False])
def test_workers_with_nothing_to_do_make_room_for_long_work_at_the_end(
    simulate: Any, store: SimStore, monkeypatch: pytest.MonkeyPatch, long: bool
) -> None:
    store.long = long
    pools: list[Any] = []
    make = Pools.__init__
    monkeypatch.setattr(
        Pools, "__init__", lambda self, *args, **options: (pools.append(self), make(self, *args, **options))[1]
    )
    simulate(Files(texts(30)))
    assert pools[0].retired == (["embedder if idle", "all but 0"] if long else [])


def test_no_more_bytes_are_in_flight_than_the_budget_lends(
    tmp_path: Path, store: SimStore, monkeypatch: pytest.MonkeyPatch, simulate: Any
) -> None:
    files = Files(texts(60), size=BATCH_BYTES)
    reading: list[int] = []
    most = 0
    prepare = files.prepare
    commit = store.commit

    def watched_prepare(batch: Any, known: Any) -> Any:
        nonlocal most
        reading.append(sum(file.size for file in batch))
        most = max(most, sum(reading))
        return prepare(batch, known)

    def watched_commit(batch: Any) -> None:
        for document in batch.documents:
            reading.remove(document.file.size)
        commit(batch)

    monkeypatch.setattr(files, "prepare", watched_prepare)
    monkeypatch.setattr(store, "commit", watched_commit)
    simulate(files, memory=5 * 4 * BATCH_BYTES)
    assert 0 < most <= 5 * BATCH_BYTES


def test_groups_are_filled_while_the_model_is_busy(simulate: Any, store: SimStore) -> None:
    # 60 batches of 128 passages; sent off whenever room runs short they would be about 30 commits.
    simulate(Files(texts(60 * 128, words=1)), model_s=2.0)
    assert len(store.commits) <= 20


# -- what changes, and what does not -----------------------------------------


def test_a_second_run_touches_nothing(simulate: Any, store: SimStore) -> None:
    files = Files(texts(30))
    simulate(files)
    commits = len(store.commits)
    assert counts(simulate(files)["p0"]) == {"seen": 30, "unchanged": 30}
    assert len(store.commits) == commits


def test_a_changed_file_replaces_its_passages_and_a_removed_one_takes_them_along(
    simulate: Any, store: SimStore
) -> None:
    files = Files({"/a": "one two", "/b": "three", "/c": "four"})
    simulate(files)
    files.texts = {"/a": "five six seven", "/b": "three"}
    assert counts(simulate(files)["p0"]) == {"seen": 2, "done": 1, "unchanged": 1, "removed": 1}
    assert {row[0] for row in store.rows} == {"id of 'five six seven'", "id of 'three'"}


def test_a_document_stays_as_long_as_one_copy_of_it_does(simulate: Any, store: SimStore) -> None:
    files = Files({"/a": "same words", "/b": "same words", "/c": "same words"})
    progress = simulate(files)["p0"]
    assert (progress.done, progress.chunks, len(store.rows)) == (3, 2, 2)
    files.texts = {"/c": "same words"}
    assert counts(simulate(files)["p0"]) == {"seen": 1, "unchanged": 1, "removed": 2}
    assert len(store.rows) == 2
    files.texts = {"/d": "same words"}  # renamed
    assert counts(simulate(files)["p0"]) == {"seen": 1, "done": 1, "removed": 1}
    assert len(store.rows) == 2
    files.texts = {}
    simulate(files)
    assert store.rows == []


def test_two_pipelines_share_a_document_that_one_of_them_gives_up(simulate: Any, store: SimStore) -> None:
    shared: dict[str, str | None] = {"/a": "same words"}
    one, two = Files(dict(shared)), Files(dict(shared))
    progress = simulate(one, two)
    assert [each.done for each in progress.values()] == [1, 1]
    one.texts = {}
    simulate(one, two)
    assert len(store.rows) == 2


@pytest.mark.parametrize("seed", range(8))
def test_a_document_that_another_pipeline_drops_in_the_same_moment_is_stored_again(
    simulate: Any, store: SimStore, seed: int
) -> None:
    one, two = Files({"/a": "same words"}), Files({})
    simulate(one, two)
    one.texts, two.texts = {}, {"/b": "same words"}
    progress = simulate(one, two, seed=seed)
    assert (progress["p0"].removed, progress["p1"].done) == (1, 1)
    assert len(store.rows) == 2


def test_a_quarantined_file_is_not_tried_again_until_it_changes(simulate: Any) -> None:
    files = Files({"/a": "BAD one", "/b": "good"})
    assert counts(simulate(files)["p0"]) == {"seen": 2, "done": 1, "quarantined": 1}
    assert counts(simulate(files)["p0"]) == {"seen": 2, "unchanged": 1, "quarantined": 1}
    files.texts["/a"] = "good again"
    assert counts(simulate(files)["p0"]) == {"seen": 2, "done": 1, "unchanged": 1}


def test_a_file_that_vanishes_between_the_list_and_the_reader_is_quarantined_and_then_removed(simulate: Any) -> None:
    files = Files({"/a": None, "/b": "good"})
    assert counts(simulate(files)["p0"]) == {"seen": 2, "done": 1, "quarantined": 1}
    del files.texts["/a"]
    assert counts(simulate(files)["p0"]) == {"seen": 1, "unchanged": 1, "removed": 1}


def test_another_recipe_does_everything_again(simulate: Any) -> None:
    files = Files(texts(5))
    simulate(files)
    assert counts(simulate(files, recipe="r2")["p0"]) == {"seen": 5, "done": 5}


# -- workers that die ---------------------------------------------------------


def test_only_the_file_that_kills_its_reader_goes_to_quarantine(simulate: Any) -> None:
    def deadly(_: Any, handle: Handle[Any]) -> bool:
        return handle.name.endswith("prepare") and any(file.path == "/f/00003" for file in handle.args[0])

    progress = simulate(Files(texts(9)), dies=deadly)["p0"]
    assert counts(progress) == {"seen": 9, "done": 8, "quarantined": 1}


def test_a_text_without_a_vector_costs_no_second_call_for_the_others(
    simulate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def embed(texts: list[str]) -> NDArray[np.float32]:
        asked.extend(texts)
        if bad := [text for text in texts if text == "poison"]:
            good = {text: np.zeros(2, np.float32) for text in texts if text not in bad}
            raise UnusableTextError("no vector", texts=bad, vectors=good)
        return np.zeros((len(texts), 2), np.float32)

    monkeypatch.setattr(sim_engine, "embed", embed)
    progress = simulate(Files(texts(100) | {"/f/bad": "sound poison"}))["p0"]
    assert counts(progress) == {"seen": 101, "done": 100, "quarantined": 1}
    assert len(asked) == len(set(asked)) == 302
    assert [stage.done for stage in progress.stages if stage.name == "embed"] == [300]
    assert progress.bytes_ahead == 0


@pytest.mark.parametrize("step", ["prepare", "embed", "load model"])
def test_a_worker_that_is_killed_from_outside_costs_nothing(simulate: Any, step: str) -> None:
    killed = itertools.count()

    def kill_once(_: Any, handle: Handle[Any]) -> bool:
        return handle.name.endswith(step) and next(killed) == 0

    assert counts(simulate(Files(texts(1)), dies=kill_once)["p0"]) == {"seen": 1, "done": 1}
    assert next(killed) >= 1 + (step != "load model")  # that one is a head start, and tried once


# -- failures and cancellation -----------------------------------------------


def test_a_store_that_fails_ends_the_pipeline_and_gives_everything_back(
    tmp_path: Path, store: SimStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(batch: Any) -> None:
        raise StoreError("no space left")

    monkeypatch.setattr(store, "commit", full)

    async def main() -> None:
        async with engine, engine.session:
            with pytest.raises(StoreError, match="no space left"):
                await engine.run("p", Files(texts(200, words=20), size=BATCH_BYTES // 4)).run()
            await asyncio.sleep(1)  # virtual; threads that could not be stopped end
            engine.check_nothing_is_held()

    with sim_pools(monkeypatch), SimLoop(1) as loop:
        engine = Engine(loop, tmp_path, store, memory=20 * BATCH_BYTES)
        loop.run_until_complete(main())
    assert engine.progress["p"].state == "failed"
    with Ledger.read(engine.session.home) as ledger:
        assert ledger.runs.last()["p"].state == "failed"


def test_a_home_that_cannot_be_written_at_the_end_does_not_hide_what_went_wrong(
    tmp_path: Path, store: SimStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise StoreError("the second error")

    def full(batch: Any) -> None:
        raise StoreError("the first error")

    monkeypatch.setattr(store, "commit", full)

    async def main() -> None:
        async with engine, engine.session:
            with pytest.raises(StoreError, match="the first error"):
                await engine.run("p", Files(texts(2))).run()

    with sim_pools(monkeypatch), SimLoop() as loop:
        engine = Engine(loop, tmp_path, store)
        monkeypatch.setattr(engine.session, "finish_run", broken)
        loop.run_until_complete(main())


def test_a_commit_under_way_when_its_run_is_cancelled_counts_and_none_follows(
    tmp_path: Path, store: SimStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = store.commit

    def interrupted(batch: Any) -> None:
        if not store.rows:
            running[0].cancel()
        commit(batch)

    monkeypatch.setattr(store, "commit", interrupted)
    running: list[asyncio.Task[None]] = []

    async def main() -> None:
        async with engine, engine.session:
            running.append(asyncio.create_task(engine.run("p", Files(texts(2000))).run()))
            await asyncio.wait(running)

    with sim_pools(monkeypatch), SimLoop(max_virtual_seconds=600) as loop:
        engine = Engine(loop, tmp_path, store)
        loop.run_until_complete(main())
    assert running[0].cancelled()
    progress = engine.progress["p"]
    assert progress.state == "cancelled"
    assert 0 < progress.chunks == len(store.rows) < 3 * 1200


def sources() -> Files:
    return Files({"/a": "one two", "/b": "BAD", "/c": "one two", "/d": "", "/e": None}, size=BATCH_BYTES)


@pytest.mark.blocking_allowed("the sweep makes a new home for each run, on its loop")
def test_cancelled_anywhere_a_run_gives_everything_back_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = itertools.count()
    engines: list[Engine] = []

    def fresh(path: Path, store: SimStore) -> Engine:
        return Engine(asyncio.get_running_loop(), path, store, memory=3 * BATCH_BYTES)  # type: ignore[arg-type]

    async def scenario() -> None:
        engine = fresh(tmp_path / str(next(numbers)), SimStore())
        engines[:] = [engine]
        async with engine, engine.session:
            await engine.run("p", sources()).run()

    async def check() -> None:
        (engine,) = engines
        await asyncio.sleep(1)  # virtual; threads that could not be stopped end
        engine.manager.orchestrator.take_in_ended()
        engine.check_nothing_is_held()
        assert not engine.session.hold.held
        # What it left is settled by the next run, which ends as an undisturbed one does.
        again = fresh(engine.session.home.path.parent, engine.store)
        async with again, again.session:
            again.session.recover()
            await again.run("p", sources()).run()
            report = verify(again.session.ledger, engine.store)
            assert (report.ok, report.documents, report.chunks) == (True, 3, 2), report
            assert again.session.ledger.quarantine.count() == 2
        counts(again.progress["p"])

    with sim_pools(monkeypatch):
        report = cancel_sweep(scenario, check=check)
    assert report.runs > 20


def test_at_most_two_groups_are_on_their_way_while_room_is_short(
    simulate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish_each = group_queue.GroupQueue.finish_each
    under_way: list[int] = []

    async def watched(queue: Any, finish: Any) -> None:
        async def finish_one(group: Any) -> None:
            under_way.append(queue.under_way)
            await finish(group)

        await finish_each(queue, finish_one)

    monkeypatch.setattr(group_queue.GroupQueue, "finish_each", watched)
    simulate(Files(texts(60, words=2), size=BATCH_BYTES), memory=8 * 4 * BATCH_BYTES)
    assert max(under_way) == group_queue.FINISHERS

"""A run over containers that are read a slice at a time, on virtual time (see ``sim_engine``)."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from tenire.core.near_duplicates import BANDS, ROWS, pack
from tenire.core.stage_sizes import FIRST
from tenire.errors import StoreError
from tenire.pipeline.verify import verify
from tenire.protocols import Document, Findings, Look, Passage, Rejection, SourceFile, Unpacked
from tenire.storage.ledger import Ledger
from tenire.testing import SimLoop, cancel_sweep

from .sim_engine import Engine, Files, SimStore, sim_pools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tenire.concurrency.handle import Handle
    from tenire.pipeline.progress import PipelineProgress


@dataclass
class Boxes(Files):
    """Files, of which some are containers: ``boxes`` says what the members of each hold, by name.

    The first slice has ``first`` members, those after it ``per`` or as many as are asked for.
    """

    boxes: dict[str, dict[str, str]] = field(default_factory=dict)
    first: int = 2
    per: int = 3
    calls: list[str] = field(default_factory=list)
    near: float | None = None

    def __post_init__(self) -> None:
        self.texts = {**dict.fromkeys(self.boxes, ""), **self.texts}

    def listed(self, path: str) -> SourceFile:
        return SourceFile(path, 100 + len(str(self.boxes.get(path, ""))), self.mtimes.get(path, 1))

    def prepare(self, files: list[SourceFile], known: Mapping[str, str]) -> list[Any]:
        self.calls.append("prepare")
        return [self._slice(file, 0, self.first) if file.path in self.boxes else self._prepared(file) for file in files]

    def unpack(self, container: SourceFile, content_hash: str, start: int, most: int, expanded: int) -> Unpacked:
        assert content_hash == f"hash of {container.path}"
        assert start - 1 <= expanded <= start  # one that killed its reader is not counted
        self.calls.append(f"unpack {start}")
        return self._slice(container, start, min(most, self.per))

    def look(self, file: SourceFile, number: int | None) -> Look:
        if number is not None:
            name = list(self.boxes[file.path])[number]
            return Look(SourceFile(f"{file.path}!/{name}", 1, 1, file.path), "pdf")
        if file.path not in self.boxes:
            return Look(file, "pdf")
        return Look(file, "zip", Unpacked(self._container(file), (), 0))

    def _container(self, file: SourceFile) -> Document:
        return Document(f"id of {file.path} {file.size}", file, f"hash of {file.path}", "", 0, ())

    def _slice(self, file: SourceFile, start: int, count: int) -> Unpacked:
        names = list(self.boxes[file.path].items())
        members = tuple(self._member(file, name, text) for name, text in names[start : start + count])
        end = start + count
        word: Document | Rejection = self._container(file)
        if end >= len(names) and any(text == "CUT" for _, text in names):
            word = Rejection(file, "unpack", "cut off", "hash")
        return Unpacked(word, members, end if end < len(names) else None, end)

    def _member(self, file: SourceFile, name: str, text: str) -> Document | Rejection:
        source = SourceFile(f"{file.path}!/{name}", len(text), 1, file.path)
        if text.startswith("BAD"):
            return Rejection(source, "validate", "expected text", text)
        passages = tuple(Passage(number, 0, len(word), word) for number, word in enumerate(text.split()))
        return Document(f"id of {text!r}", source, text, "", len(text), passages)


class BoxEngine(Engine):
    """Runs containers."""

    def recipe_of(self, files: Any) -> dict[str, Any]:
        return {"unpack": files.unpack, "look": files.look, "limit_s": 30.0, "near": files.near}


def box(count: int, prefix: str = "m") -> dict[str, str]:
    return {f"{number:03}": f"{prefix}{number} words" for number in range(count)}


@pytest.fixture
def store() -> SimStore:
    return SimStore()


@pytest.fixture
def simulate(tmp_path: Path, store: SimStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    def run(files: Boxes, *, seed: int = 0, memory: int = 1 << 30, **pools: Any) -> PipelineProgress:
        async def main() -> None:
            async with engine, engine.session:
                await engine.manager.submit(engine.session.recover, on="thread")
                await engine.run("p", files).run()
                engine.manager.orchestrator.take_in_ended()
                engine.check_nothing_is_held()

        with sim_pools(monkeypatch, **pools), SimLoop(seed, max_virtual_seconds=3600) as loop:
            engine = BoxEngine(loop, tmp_path, store, memory=memory)
            loop.run_until_complete(main())
        with Ledger.read(engine.session.home) as ledger:
            assert verify(ledger, store).ok
        return engine.progress["p"]

    return run


def counts(progress: PipelineProgress) -> tuple[int, int, int, int, int]:
    assert progress.seen == progress.done + progress.unchanged + progress.quarantined
    assert progress.bytes_done == progress.bytes_seen
    return progress.seen, progress.done, progress.unchanged, progress.quarantined, progress.removed


def failed(path: Path) -> dict[str, str]:
    from tenire.storage.home import Home

    with Ledger.read(Home(path / "home")) as ledger:
        return {entry.source: entry.error for entry in ledger.quarantine.entries()}


def stored(store: SimStore) -> set[str]:
    return {document for document, _, _ in store.rows}


class Alike(Boxes):
    """All documents are nearly the same."""

    def _member(self, file: SourceFile, name: str, text: str) -> Document | Rejection:
        return alike(super()._member(file, name, text))

    def _prepared(self, file: SourceFile) -> Document | Rejection:
        return alike(super()._prepared(file))


def alike(document: Document | Rejection) -> Document | Rejection:
    if isinstance(document, Rejection):
        return document
    signature = pack(500, tuple(range(BANDS)), bytes(2 * BANDS * ROWS))
    return replace(document, findings=Findings(signature=signature))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("memory", [1 << 30, 1 << 20])
def test_of_documents_that_are_alike_the_first_of_the_source_stands_whatever_is_read_first(
    simulate: Callable[..., Any], store: SimStore, seed: int, memory: int
) -> None:
    # What stands for others comes late in a container, and before it and behind it are files and another one.
    boxes = {"/f/b": {**box(9), "last": "BAD"}, "/f/d": box(7, "n")}
    texts: dict[str, str | None] = {"/f/a": "BAD first", "/f/e": "e words", "/f/g": "g words"}
    files = Alike(texts, boxes=boxes, near=0.9)
    files.texts = dict(sorted(files.texts.items()))
    boxes["/f/b"] = {name: text if name == "006" else f"BAD {text}" for name, text in boxes["/f/b"].items()}
    progress = simulate(files, seed=seed, memory=memory)
    assert stored(store) == {"id of 'm6 words'"}
    assert progress.near_duplicates == 7 + 2
    assert (progress.seen, progress.done, progress.quarantined) == (5, 3, 2)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("memory", [1 << 30, 1 << 20])
def test_containers_small_and_large_come_to_their_end_beside_files(
    simulate: Any, store: SimStore, seed: int, memory: int
) -> None:
    boxes = {f"/{number}.zip": box(count, f"b{number}x") for number, count in enumerate((0, 1, 2, 3, 40, 200))}
    progress = simulate(Boxes({"/a": "one", "/b": "two"}, boxes=boxes), seed=seed, memory=memory)
    assert counts(progress) == (8, 8, 0, 0, 0)
    assert len(stored(store)) == 2 + 246


@pytest.mark.parametrize("seed", range(3))
def test_more_large_containers_than_fit_in_flight_come_to_their_end(simulate: Any, store: SimStore, seed: int) -> None:
    boxes = {f"/{number:02}.zip": box(30, f"b{number}x") for number in range(40)}
    assert counts(simulate(Boxes({}, boxes=boxes), seed=seed, memory=1 << 20)) == (40, 40, 0, 0, 0)
    assert len(stored(store)) == 1200


def test_an_unchanged_container_is_not_opened_and_one_that_left_takes_its_members_along(
    simulate: Any, store: SimStore
) -> None:
    files = Boxes({}, boxes={"/a.zip": box(20), "/b.zip": box(5, "other")})
    simulate(files)
    files.calls.clear()
    assert counts(simulate(files)) == (2, 0, 2, 0, 0)
    assert files.calls == []
    del files.texts["/a.zip"]
    assert counts(simulate(files)) == (1, 0, 1, 0, 1)
    assert len(stored(store)) == 5


def test_of_a_changed_container_what_stayed_stays_and_what_left_leaves(simulate: Any, store: SimStore) -> None:
    files = Boxes({}, boxes={"/a.zip": box(20)})
    simulate(files)
    before = len(store.commits)
    del files.boxes["/a.zip"]["003"]
    files.boxes["/a.zip"]["010"] = "quite new"
    assert counts(simulate(files)) == (1, 1, 0, 0, 0)
    added = [document for batch in store.commits[before:] for document in batch.documents]
    # Vectors of what it was before are looked at: passages that stayed are not embedded again.
    assert "id of 'm10 words'" in store.asked
    assert [document.id for document in added] == ["id of 'quite new'"]
    assert len(stored(store)) == 19


def test_a_bad_member_counts_its_container_as_quarantined_until_it_changes(
    simulate: Any, store: SimStore, tmp_path: Path
) -> None:
    files = Boxes({}, boxes={"/a.zip": {**box(3), "x": "BAD", **box(9, "n")}})
    progress = simulate(files)
    assert counts(progress) == (1, 0, 0, 1, 0)
    assert progress.rejected == {"container": 1}
    assert failed(tmp_path) == {"/a.zip!/x": "expected text"}
    assert counts(simulate(files)) == (1, 0, 0, 1, 0)
    files.boxes["/a.zip"]["x"] = "well again"
    assert counts(simulate(files)) == (1, 1, 0, 0, 0)
    assert failed(tmp_path) == {}


def test_of_a_container_that_was_cut_off_the_good_members_stay(simulate: Any, store: SimStore, tmp_path: Path) -> None:
    files = Boxes({}, boxes={"/a.zip": {**box(9), "x": "CUT"}})
    assert counts(simulate(files)) == (1, 0, 0, 1, 0)
    assert failed(tmp_path) == {"/a.zip": "cut off"}
    assert len(stored(store)) == 10


def test_only_the_member_that_kills_its_reader_goes_to_quarantine(
    simulate: Any, store: SimStore, tmp_path: Path
) -> None:
    files = Boxes({"/b": "beside"}, boxes={"/a.zip": box(300)}, first=200, per=1000)

    def deadly(_: Any, handle: Handle[Any]) -> bool:
        if handle.name.endswith("prepare"):
            return any(file.path == "/a.zip" for file in handle.args[0])
        if handle.name.endswith("unpack"):
            _, _, start, most, _ = handle.args
            return bool(start <= 123 < start + most)
        return False

    assert counts(simulate(files, dies=deadly)) == (2, 1, 0, 1, 0)
    ((source, error),) = failed(tmp_path).items()
    assert source == "/a.zip!/123"
    assert error.startswith("the pdf reader crashed on this file")
    assert len(stored(store)) == 300


def test_a_parser_that_hangs_is_ended_and_only_its_file_goes_to_quarantine(
    simulate: Any, store: SimStore, tmp_path: Path
) -> None:
    files = Boxes({f"/{number}": f"words{number}" for number in range(9)} | {"/bad": "hangs"})

    def hangs(_: Any, handle: Handle[Any]) -> bool:
        return handle.name.endswith("prepare") and any(file.path == "/bad" for file in handle.args[0])

    assert counts(simulate(files, hangs=hangs)) == (10, 9, 0, 1, 0)
    ((source, error),) = failed(tmp_path).items()
    assert source == "/bad"
    assert error.startswith("the pdf reader did not come to an end with this file")
    assert "30 s" in error


def in_groups_of(passages: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenire.pipeline.tuning.FIRST", replace(FIRST, group=passages))
    monkeypatch.setattr("tenire.pipeline.tuning.sizes_for", lambda before, **_: before)


@pytest.mark.parametrize("at", range(1, 6))
def test_a_run_that_breaks_off_between_two_commits_is_made_good_by_the_next(
    tmp_path: Path, store: SimStore, monkeypatch: pytest.MonkeyPatch, simulate: Any, at: int
) -> None:
    in_groups_of(10, monkeypatch)
    commit, numbers = store.commit, itertools.count(1)

    def failing(batch: Any) -> None:
        if next(numbers) >= at:
            raise StoreError("no space left")
        commit(batch)

    files = Boxes({}, boxes={"/a.zip": box(40)})

    async def main() -> None:
        async with engine, engine.session:
            with pytest.raises(StoreError):
                await engine.run("p", files).run()
            await asyncio.sleep(1)  # virtual; threads that could not be stopped end

    with monkeypatch.context() as patch:
        patch.setattr(store, "commit", failing)
        with sim_pools(patch), SimLoop(at, max_virtual_seconds=600) as loop:
            engine = BoxEngine(loop, tmp_path, store)
            loop.run_until_complete(main())
    assert counts(simulate(files)) == (1, 1, 0, 0, 0)
    assert len(stored(store)) == 40
    assert counts(simulate(files)) == (1, 0, 1, 0, 0)


@pytest.mark.blocking_allowed("the sweep makes a new home for each run, on its loop")
def test_cancelled_anywhere_a_container_is_whole_after_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_groups_of(6, monkeypatch)
    numbers = itertools.count()
    engines: list[BoxEngine] = []

    def files() -> Boxes:
        return Boxes({"/b": "beside"}, boxes={"/a.zip": {**box(6), "x": "BAD"}})

    def fresh(path: Path, store: SimStore) -> BoxEngine:
        return BoxEngine(asyncio.get_running_loop(), path, store)  # type: ignore[arg-type]

    async def scenario() -> None:
        engine = fresh(tmp_path / str(next(numbers)), SimStore())
        engines[:] = [engine]
        async with engine, engine.session:
            await engine.run("p", files()).run()

    async def check() -> None:
        (engine,) = engines
        await asyncio.sleep(1)  # virtual; threads that could not be stopped end
        engine.manager.orchestrator.take_in_ended()
        engine.check_nothing_is_held()
        again = fresh(engine.session.home.path.parent, engine.store)
        async with again, again.session:
            again.session.recover()
            await again.run("p", files()).run()
            report = verify(again.session.ledger, engine.store)
            assert (report.ok, report.documents, report.chunks) == (True, 7, 13), report
            assert [entry.source for entry in again.session.ledger.quarantine.entries()] == ["/a.zip!/x"]

    with sim_pools(monkeypatch):
        report = cancel_sweep(scenario, check=check)
    assert report.runs > 20

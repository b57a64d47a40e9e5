"""A pipeline that goes on after its run, on virtual time over real files; who tells of changes is faked."""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tenire.errors import StoreError
from tenire.pipeline.files import FileSource
from tenire.pipeline.progress import PipelineProgress
from tenire.pipeline.watching.changed_source import ChangedSource
from tenire.pipeline.watching.file_events import UnwatchableError
from tenire.pipeline.watching.following import Following
from tenire.protocols import SourceFile
from tenire.testing import SimLoop

from .sim_engine import Engine, SimStore, sim_pools

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    Scenario = Callable[["Scene"], Awaitable[None]]

# What a thread would do is done on the loop here.
pytestmark = pytest.mark.blocking_allowed("on a simulated loop, threads are the loop itself")


@dataclass
class Scene:
    """A folder that is followed. ``rounds``: what each round listed; ``"everything"`` first if it was all."""

    folder: Path
    engine: Engine
    progress: PipelineProgress = field(default_factory=lambda: PipelineProgress("p"))
    rounds: list[list[str]] = field(default_factory=list)
    heard: list[Any] = field(default_factory=list)
    broke: list[Any] = field(default_factory=list)
    opened: int = 0
    stopped: int = 0
    closed: int = 0
    deaf: bool = False
    fails: int = 0
    first_ended: bool = False
    besides: list[str] = field(default_factory=list)
    on_close: Callable[[], object] = lambda: None

    def write(self, name: str, text: str = "text") -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    def tell(self, *paths: str) -> None:
        for heard in self.heard:
            heard(list(paths))

    async def until(self, condition: Callable[[], object], seconds: float = 3600.0) -> None:
        """Let virtual time pass until something is so."""
        end = self.engine.loop.clock.now() + seconds
        while not condition():
            assert self.engine.loop.clock.now() < end
            await asyncio.sleep(0.05)

    async def pass_by(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def events(self, directories: Any, *, recursive: bool, heard: Any, broke: Any) -> Any:
        if self.deaf:
            raise UnwatchableError("no more watches")
        self.opened += 1
        self.heard.append(heard)
        self.broke.append(broke)
        scene = self

        class Events:
            def stop(self) -> None:
                scene.stopped += 1

            def close(self) -> None:
                assert scene.stopped == scene.opened  # all of them, before one is waited for
                scene.closed += 1
                scene.heard.remove(heard)
                scene.on_close()

        return Events()

    async def make(self, source: Any, progress: PipelineProgress) -> Any:
        scene = self

        class Run:
            async def run(self) -> None:
                listed = [item for item in source.walk() if isinstance(item, SourceFile)]
                names = [item.path.removeprefix(f"{scene.folder}/") for item in listed]
                everything = isinstance(source, FileSource)
                scene.rounds.append(["everything", *names] if everything else names)
                if scene.fails and len(scene.rounds) > 1:
                    scene.fails -= 1
                    message = "the store is full"
                    raise StoreError(message)
                progress.seen, progress.done = len(listed), len(listed)

        return Run()

    def follow(self) -> Following:
        def ended() -> None:
            self.first_ended = True

        source = FileSource([str(self.folder), *self.besides])
        return Following(
            "p", manager=self.engine.manager, source=source, progress=self.progress,
            make=self.make, first_ended=ended, clock=self.engine.loop.clock, events=self.events,
        )  # fmt: skip


@pytest.fixture
def following(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Scene]:
    """Runs a scenario beside a followed folder, then cancels; checks that nothing is left open."""

    def run(scenario: Scenario, **settings: Any) -> Scene:
        folder = tmp_path / "docs"
        folder.mkdir()

        async def main() -> None:
            async with engine:
                task = asyncio.get_running_loop().create_task(scene.follow().run())
                await scene.until(lambda: scene.first_ended)
                assert scene.progress.state == "watching"
                await scenario(scene)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

        with sim_pools(monkeypatch), SimLoop(0, max_virtual_seconds=20_000) as loop:
            engine = Engine(loop, tmp_path, SimStore())
            scene = Scene(folder, engine, **settings)
            scene.write("old.txt")
            loop.run_until_complete(main())
        assert scene.opened == scene.closed
        return scene

    return run


def test_what_changes_is_done_again_and_nothing_else(following: Callable[..., Scene]) -> None:
    async def scenario(scene: Scene) -> None:
        scene.tell(scene.write("new.txt"))
        await scene.until(lambda: len(scene.rounds) == 2)
        scene.tell(scene.write("sub/deep/a.txt"), str(scene.folder / "sub"))
        await scene.until(lambda: len(scene.rounds) == 3)
        await scene.pass_by(60)

    scene = following(scenario)
    assert scene.rounds == [["everything", "old.txt"], ["new.txt"], ["sub/deep/a.txt"]]
    assert (scene.progress.seen, scene.progress.done) == (3, 3)


def test_a_file_is_read_once_it_rests(following: Callable[..., Scene]) -> None:
    async def scenario(scene: Scene) -> None:
        for number in range(8):
            scene.tell(scene.write("growing.txt", "x" * number))
            await scene.pass_by(0.3)
        assert len(scene.rounds) == 1
        await scene.until(lambda: len(scene.rounds) == 2, 2)
        await scene.pass_by(60)

    assert following(scenario).rounds[1:] == [["growing.txt"]]


def test_hidden_and_foreign_paths_are_passed_over(following: Callable[..., Scene]) -> None:
    async def scenario(scene: Scene) -> None:
        scene.tell(scene.write(".git/index"), str(scene.folder), "/somewhere/else", scene.write("a/.b/c.txt"))
        await scene.pass_by(60)

    assert len(following(scenario).rounds) == 1


def test_a_folder_that_is_gone_is_waited_for_and_what_it_held_stays(following: Callable[..., Scene]) -> None:
    async def scenario(scene: Scene) -> None:
        away = scene.folder.with_name("away")
        scene.folder.rename(away)
        scene.tell(str(scene.folder))
        await scene.until(lambda: scene.progress.error)
        assert "is missing" in scene.progress.error
        await scene.pass_by(1000)
        assert len(scene.rounds) == 1
        (away / "new.txt").write_text("came meanwhile")
        away.rename(scene.folder)
        await scene.until(lambda: len(scene.rounds) == 2, 10)
        assert scene.progress.error == ""
        scene.tell(scene.write("later.txt"))
        await scene.until(lambda: len(scene.rounds) == 3)

    rounds = following(scenario).rounds
    assert rounds[1:] == [["everything", "new.txt", "old.txt"], ["later.txt"]]


def test_another_folder_in_the_same_place_is_listened_to(following: Callable[..., Scene]) -> None:
    async def scenario(scene: Scene) -> None:
        keep = scene.folder.with_name("old")  # so that its number is not used again
        scene.folder.rename(keep)
        scene.write("other.txt")
        await scene.until(lambda: len(scene.rounds) == 2, 10)
        shutil.rmtree(keep)

    scene = following(scenario)
    assert scene.rounds[1] == ["everything", "other.txt"]
    assert scene.opened == 2


def test_where_the_system_tells_nothing_files_are_compared(following: Callable[..., Scene]) -> None:
    async def scenario(scene: Scene) -> None:
        await scene.until(lambda: len(scene.rounds) == 2)  # what fell between the listing and the first look
        scene.write("silent.txt")
        await scene.until(lambda: len(scene.rounds) == 3, 20)
        await scene.pass_by(100)

    scene = following(scenario, deaf=True)
    assert scene.rounds[2:] == [["everything", "old.txt", "silent.txt"]]
    # Of a look through everything only what is new counts; here each round calls all of it new.
    assert scene.progress.seen == scene.progress.done


def test_a_connection_that_breaks_is_replaced_by_comparing(following: Callable[..., Scene]) -> None:
    async def scenario(scene: Scene) -> None:
        for broke in scene.broke:
            broke()
        scene.write("silent.txt")
        await scene.until(lambda: ["everything", "old.txt", "silent.txt"] in scene.rounds, 20)

    following(scenario)


def test_what_nobody_told_is_found_in_the_end(following: Callable[..., Scene]) -> None:
    async def scenario(scene: Scene) -> None:
        await scene.until(lambda: len(scene.rounds) == 2)  # nothing to compare with at first
        scene.write("untold.txt")
        await scene.until(lambda: len(scene.rounds) == 3)
        await scene.pass_by(3000)

    assert following(scenario).rounds[2:] == [["everything", "old.txt", "untold.txt"]]


def test_a_log_that_never_rests_is_found_by_comparing_too(following: Callable[..., Scene]) -> None:
    async def scenario(scene: Scene) -> None:
        for number in range(100):
            scene.write("log.txt", "x" * number)
            await scene.pass_by(1)
        assert 2 <= len(scene.rounds) <= 5

    following(scenario, deaf=True)


def test_a_round_that_fails_is_told_and_followed_by_one_over_everything(following: Callable[..., Scene]) -> None:
    async def scenario(scene: Scene) -> None:
        scene.tell(scene.write("new.txt"))
        await scene.until(lambda: len(scene.rounds) == 2)
        await scene.pass_by(1)
        assert scene.progress.state == "watching"
        assert "the store is full" in scene.progress.error
        await scene.pass_by(20)
        assert len(scene.rounds) == 2
        await scene.until(lambda: len(scene.rounds) == 3, 15)
        await scene.pass_by(1)
        assert scene.progress.error == ""

    assert following(scenario, fails=1).rounds[1:] == [["new.txt"], ["everything", "new.txt", "old.txt"]]


def test_a_paused_pipeline_begins_no_round(following: Callable[..., Scene]) -> None:
    async def scenario(scene: Scene) -> None:
        scene.progress.paused = True
        assert scene.progress.shown_state == "paused"
        scene.tell(scene.write("new.txt"))
        await scene.pass_by(100)
        assert len(scene.rounds) == 1
        scene.progress.paused = False
        await scene.until(lambda: len(scene.rounds) == 2, 5)

    following(scenario)


def test_a_name_that_does_not_come_through_is_found_all_the_same(following: Callable[..., Scene]) -> None:
    async def scenario(scene: Scene) -> None:
        name = os.fsencode(scene.folder) + b"/odd-\xff.txt"
        os.close(os.open(name, os.O_CREAT))
        scene.tell(os.fsdecode(name).encode("utf-8", "replace").decode().replace("?", "\ufffd"))
        await scene.until(lambda: len(scene.rounds) == 2, 10)

    assert following(scenario).rounds[1] == ["everything", "odd-\udcff.txt", "old.txt"]


def test_a_first_run_that_fails_ends_the_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()

    async def make(source: Any, progress: PipelineProgress) -> Any:
        message = "no disk"
        raise StoreError(message)

    async def main() -> None:
        async with engine:
            monkeypatch.setattr(scene, "make", make)
            with pytest.raises(StoreError, match="no disk"):
                await scene.follow().run()

    with sim_pools(monkeypatch), SimLoop(0, max_virtual_seconds=60) as loop:
        engine = Engine(loop, tmp_path, SimStore())
        scene = Scene(tmp_path / "docs", engine)
        loop.run_until_complete(main())
    assert scene.opened == scene.closed == 1
    assert not scene.first_ended


@pytest.mark.parametrize("cancels", [0, 1, 2])
def test_who_is_cancelled_again_while_it_stops_listening_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cancels: int
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "note.txt").write_text("a file is listened to in another way than a folder")

    async def main() -> None:
        async with engine:
            task = asyncio.get_running_loop().create_task(scene.follow().run())
            await scene.until(lambda: scene.first_ended)

            def cancel() -> None:
                if scene.closed <= cancels:
                    task.cancel()

            scene.on_close = cancel
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with sim_pools(monkeypatch), SimLoop(0, max_virtual_seconds=60) as loop:
        engine = Engine(loop, tmp_path, SimStore())
        scene = Scene(tmp_path / "docs", engine, besides=[str(tmp_path / "note.txt")])
        loop.run_until_complete(main())
    assert scene.opened == scene.closed == 2


def test_a_changed_folder_is_listed_once_and_without_what_the_source_leaves_out(tmp_path: Path) -> None:
    for name in ("docs/a/one.txt", "docs/a/b/two.txt", "docs/a/.hidden/x.txt", "docs/a-b.txt", "home/h.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text")
    (tmp_path / "docs/link").symlink_to(tmp_path / "home")
    whole = FileSource([str(tmp_path / "docs")])
    paths = [str(tmp_path / "docs" / name) for name in ("a", "a/b", "a-b.txt", "link", "gone", "a/.hidden")]
    changed = ChangedSource(whole, [*paths, str(tmp_path / "home")])
    listed = [os.path.relpath(item.path, tmp_path) for item in changed.walk() if isinstance(item, SourceFile)]
    assert listed == ["docs/a/b/two.txt", "docs/a/one.txt", "docs/a-b.txt"]
    for name, covered in {
        "docs/gone": True, "docs/gone/was/deep.txt": True, "docs/a/c.txt": True, "docs/other.txt": False,
        "home/h.txt": False, "docs/a/.hidden/x.txt": False,
    }.items():  # fmt: skip
        assert changed.covers(str(tmp_path / name)) is covered, name

"""What the system tells of changes, and that nothing is left behind."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

import pytest

from tenire.pipeline.watching.file_events import FileEvents, UnwatchableError

if TYPE_CHECKING:
    from pathlib import Path

_LONG_S = 60.0


class Ear:
    """Hears, and lets a test wait for a path."""

    def __init__(self) -> None:
        self.paths: set[str] = set()
        self.news = threading.Condition()

    def heard(self, paths: list[str]) -> None:
        with self.news:
            self.paths.update(paths)
            self.news.notify_all()

    def wait_for(self, *paths: Path) -> None:
        with self.news:
            assert self.news.wait_for(lambda: self.paths.issuperset(map(str, paths)), _LONG_S), self.paths


def listen(ear: Ear, *directories: Path, recursive: bool = True) -> FileEvents:
    names = [str(directory) for directory in directories]
    return FileEvents(names, recursive=recursive, heard=ear.heard, broke=lambda: None)


def test_what_comes_changes_and_leaves_is_told_with_the_folders_it_is_in(tmp_path: Path) -> None:
    docs, away = tmp_path / "docs", tmp_path / "away"
    (docs / "old").mkdir(parents=True)
    away.mkdir()
    (away / "inside.txt").write_text("came with its folder")
    ear = Ear()
    events = listen(ear, docs)
    try:
        (docs / "old/new.txt").write_text("new")
        ear.wait_for(docs / "old/new.txt")
        away.rename(docs / "moved")
        ear.wait_for(docs / "moved")
        (docs / "moved/later.txt").write_text("later")
        ear.wait_for(docs / "moved/later.txt")
        ear.paths.clear()
        (docs / "old/new.txt").unlink()
        ear.wait_for(docs / "old/new.txt")
    finally:
        events.close()
    assert threading.active_count() == len(threading.enumerate())
    assert not any(thread.name == "tenire-watch" for thread in threading.enumerate())


def test_of_a_single_file_its_replacement_is_told(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("one")
    ear = Ear()
    events = listen(ear, tmp_path, recursive=False)
    try:
        (tmp_path / "draft").write_text("two")
        (tmp_path / "draft").rename(file)
        ear.wait_for(file)
    finally:
        events.close()


def test_a_missing_package_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles._rust_notify", None)
    with pytest.raises(UnwatchableError, match="watchfiles is not installed"):
        listen(Ear(), tmp_path)


@pytest.mark.parametrize("error", [RuntimeError("the loop is gone"), SystemExit("killed")])
def test_an_ear_that_fails_is_told_once(tmp_path: Path, error: BaseException) -> None:
    broken = threading.Event()

    def heard(paths: list[str]) -> None:
        raise error

    events = FileEvents([str(tmp_path)], recursive=True, heard=heard, broke=broken.set)
    try:
        (tmp_path / "a.txt").write_text("text")
        assert broken.wait(_LONG_S)
    finally:
        events.close()

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tenire.errors import HomeBusyError, InternalError, StoreError
from tenire.storage.home import Home, HomeLock

if TYPE_CHECKING:
    from pathlib import Path

ENGINE = """
import sys
from tenire.storage.home import Home, HomeLock
lock = HomeLock(Home(sys.argv[1]))
lock.acquire()
print("locked", flush=True)
sys.stdin.read()
"""


def start_engine(home: Home) -> subprocess.Popen[str]:
    engine = subprocess.Popen(
        [sys.executable, "-c", ENGINE, str(home.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert engine.stdout is not None
    assert engine.stdout.readline() == "locked\n"
    return engine


def end(engine: subprocess.Popen[str]) -> None:
    engine.kill()
    engine.communicate()


def listing(home: Home) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in home.path.iterdir()}


def test_making_a_home_object_touches_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    assert home.owner() is None
    assert list(tmp_path.iterdir()) == []


def test_a_relative_home_stays_where_it_was_when_the_process_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    home = Home(".tenire")
    monkeypatch.chdir(tmp_path.parent)
    assert home.path == tmp_path / ".tenire"


def test_a_second_engine_is_refused_with_the_pid_of_the_first_and_touches_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    engine = start_engine(home)
    try:
        before = listing(home)
        with pytest.raises(HomeBusyError, match=rf"pid {engine.pid}\b") as caught:
            HomeLock(home).acquire()
        assert caught.value.pid == engine.pid == home.owner()
        assert caught.value.hint
        assert listing(home) == before
    finally:
        end(engine)


def test_a_killed_engine_leaves_no_lock_and_its_pid_is_forgotten(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    end(start_engine(home))
    assert home.owner() is None
    with HomeLock(home):
        with pytest.raises(HomeBusyError) as caught:
            HomeLock(home).acquire()
        assert caught.value.pid == os.getpid()


def test_a_child_that_outlives_its_engine_does_not_keep_the_home(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    lock = HomeLock(home)
    lock.acquire()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    lock.release()
    try:
        with HomeLock(home):
            pass
    finally:
        child.kill()
        child.communicate()


def test_a_released_home_is_free_and_may_be_released_again(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    lock = HomeLock(home)
    with lock:
        assert lock.held
        assert home.owner() == os.getpid()
    lock.release()
    assert not lock.held
    assert home.owner() is None
    with lock:
        assert lock.held


def test_one_holder_cannot_take_its_lock_twice(tmp_path: Path) -> None:
    lock = HomeLock(Home(tmp_path / "home"))
    with lock, pytest.raises(InternalError):
        lock.acquire()


def test_looking_for_the_owner_never_takes_the_home_away(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with HomeLock(home):
        pass
    for _ in range(20):
        assert home.owner() is None
        with HomeLock(home):
            assert home.owner() == os.getpid()


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_home_that_is_a_file_is_refused_in_plain_words(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match="must be a directory"):
        HomeLock(Home(tmp_path / name)).acquire()
    assert (tmp_path / "file").read_text() == "mine"


def test_reading_a_home_that_is_not_there_says_how_to_start_and_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no home at") as caught:
        Home(tmp_path / "home").require()
    assert "tenire ingest" in (caught.value.hint or "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_home_that_cannot_be_looked_into_is_not_taken_for_one_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "home").symlink_to(tmp_path / "home")  # not permitted or without end, to the caller it is the same
    with pytest.raises(StoreError, match="cannot be looked into") as caught:
        Home(tmp_path / "home").require()
    assert "--home" in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_reading_a_home_that_is_a_file_says_so(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match="must be a directory" if name == "file" else "directory|no home"):
        Home(tmp_path / name).require()


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_in_a_read_only_directory_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StoreError, match="cannot make the home"):
            HomeLock(Home(tmp_path / "home")).acquire()
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_home_is_for_its_owner_only(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with HomeLock(home):
        assert home.path.stat().st_mode & 0o777 == 0o700
        assert home.lock_path.stat().st_mode & 0o777 == 0o600

"""Files that die with their engine."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from tenire.storage import scratch
from tenire.storage.scratch import Scratch, sweep

if TYPE_CHECKING:
    from pathlib import Path

DIES = """
import os, sys
from pathlib import Path
from tenire.storage.scratch import Scratch
made = Scratch(lambda: Path(sys.argv[1]))
made.write("1.blob", memoryview(b"abc"))
print(made.path, flush=True)
os.kill(os.getpid(), 9) if os.name == "posix" else os._exit(1)
"""


def test_an_engine_that_writes_nothing_leaves_no_trace(tmp_path: Path) -> None:
    made = Scratch(lambda: tmp_path / "spill")
    made.remove("never there")
    made.close()
    assert list(tmp_path.iterdir()) == []


def test_files_are_private_and_gone_at_the_end(tmp_path: Path) -> None:
    made = Scratch(lambda: tmp_path / "spill")
    made.write("1.blob", memoryview(b"abc"))
    made.write("2.blob", memoryview(b""))
    path = made.path_of("1.blob")
    assert path.read_bytes() == b"abc"
    assert str(os.getpid()) in made.path.name
    if os.name == "posix":
        assert [oct(it.stat().st_mode & 0o777) for it in (path, made.path, made.path.parent)] == [
            "0o600", "0o700", "0o700",
        ]  # fmt: skip
    made.remove("1.blob")
    assert not path.exists()
    made.close()
    made.close()
    assert list((tmp_path / "spill").iterdir()) == []
    with pytest.raises(FileNotFoundError):
        made.write("3.blob", memoryview(b""))


def test_a_file_that_cannot_be_written_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Scratch(lambda: tmp_path)
    real, written = os.write, []

    def full(fd: int, data: memoryview) -> int:
        if written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(1)
        return real(fd, data[:2])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        made.write("1.blob", memoryview(b"abc"))
    monkeypatch.undo()
    assert list(made.path.iterdir()) == []
    made.close()


def test_what_a_killed_engine_left_is_swept_and_what_a_living_one_has_is_not(tmp_path: Path) -> None:
    ran = subprocess.run([sys.executable, "-c", DIES, tmp_path], capture_output=True, text=True, check=False)
    left = ran.stdout.strip()
    assert left, ran.stderr
    assert os.path.exists(os.path.join(left, "1.blob"))
    living = Scratch(lambda: tmp_path)
    living.write("1.blob", memoryview(b"abc"))
    (tmp_path / "tenire-notes").mkdir()
    (tmp_path / "other.lock").touch()
    assert sweep(tmp_path) == 1
    assert sorted(it.name for it in tmp_path.iterdir()) == sorted(
        [living.path.name, f"{living.path.name}.lock", "tenire-notes", "other.lock"]
    )
    assert living.path_of("1.blob").read_bytes() == b"abc"
    living.close()
    assert sweep(tmp_path) == 0
    assert sweep(tmp_path / "nowhere") == 0


@pytest.mark.skipif(os.name != "posix", reason="links need a privilege there")
def test_a_sweep_follows_no_link(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    base = tmp_path / "base"
    base.mkdir()
    (base / "tenire-1-x").symlink_to(precious)
    (base / "tenire-1-x.lock").touch()
    (base / "tenire-2-x.lock").symlink_to(precious / "file")
    sweep(base)
    assert (precious / "file").exists()


def test_a_lock_that_is_swept_while_it_is_taken_is_taken_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Scratch(lambda: tmp_path)
    real, swept = scratch.lock_exclusive, []

    def sweep_first(fd: int) -> None:
        if not swept:
            swept.append(1)
            monkeypatch.setattr(scratch, "lock_exclusive", real)
            assert sweep(tmp_path) == 1
        real(fd)

    monkeypatch.setattr(scratch, "lock_exclusive", sweep_first)
    made.write("1.blob", memoryview(b"abc"))
    assert swept
    assert sweep(tmp_path) == 0, "it is held"
    made.close()
    assert list(tmp_path.iterdir()) == []


def test_threads_make_one_directory(tmp_path: Path) -> None:
    made = Scratch(lambda: tmp_path)
    start = threading.Barrier(4)

    def write(number: int) -> None:
        start.wait(10)
        made.write(f"{number}.blob", memoryview(b"abc"))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(made.path.iterdir())) == 4
    assert len(list(tmp_path.iterdir())) == 2
    made.close()


def test_a_chosen_place_for_temporary_files_is_heeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert scratch.temporary_base() == tmp_path

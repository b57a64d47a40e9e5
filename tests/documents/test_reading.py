"""Reading one file: bounded, never waiting, whatever happened to it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from tenire.documents.reading import content_hash, human_size, read_file
from tenire.errors import DocumentError

if TYPE_CHECKING:
    from pathlib import Path


def test_bytes_come_with_their_hash_and_the_files_own_size_and_time(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"content")
    content = read_file(str(path), max_file=100)
    assert content.data == b"content"
    assert content.hash == content_hash(b"content")
    assert len(content.hash) == 32
    assert (content.file.size, content.file.mtime_ns) == (7, path.stat().st_mtime_ns)


def test_a_file_at_the_limit_is_read_and_one_byte_more_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"x" * 2048)
    assert len(read_file(str(path), max_file=2048).data) == 2048
    with pytest.raises(DocumentError, match=r"2\.0 KiB, larger than max_file \(2\.0 KiB\)") as caught:
        read_file(str(path), max_file=2047)
    assert caught.value.stage == "read"


def test_a_file_that_grows_while_it_is_read_is_read_to_its_new_end_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    read = os.read

    def growing(descriptor: int, size: int) -> bytes:
        part = read(descriptor, size)
        if path.stat().st_size == 10:
            with path.open("ab") as more:
                more.write(b"y" * 90)
        return part

    monkeypatch.setattr(os, "read", growing)
    path.write_bytes(b"x" * 10)
    content = read_file(str(path), max_file=100)
    assert content.data == b"x" * 10 + b"y" * 90
    assert content.file.size == 100
    path.write_bytes(b"x" * 10)
    with pytest.raises(DocumentError, match="larger than max_file"):
        read_file(str(path), max_file=99)


@pytest.mark.skipif(sys.platform == "win32", reason="needs named pipes")
def test_a_file_that_became_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DocumentError, match="regular file"):
        read_file(str(tmp_path / "pipe"), max_file=100)


def test_a_vanished_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="vanished"):
        read_file(str(tmp_path / "gone"), max_file=100)


def test_a_file_that_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, flags: int) -> int:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(DocumentError, match="permission denied") as caught:
        read_file(str(tmp_path / "a"), max_file=100)
    # No run notices that it may be read now: that changes neither its bytes nor their time.
    assert caught.value.hint == "give yourself the right to read it, and run: tenire retry"


def test_a_failing_disk_is_a_refusal_and_leaves_no_descriptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"x")
    opened: list[int] = []

    def failing(descriptor: int, size: int) -> bytes:
        opened.append(descriptor)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "read", failing)
    with pytest.raises(DocumentError, match="Input/output error"):
        read_file(str(path), max_file=100)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(opened[0])


def test_a_file_that_claims_to_be_empty_is_read_all_the_same() -> None:
    if not os.path.exists("/proc/self/status"):
        pytest.skip("needs /proc")
    content = read_file("/proc/self/status", max_file=1 << 20)
    assert b"Pid:" in content.data
    assert content.file.size == len(content.data)


def test_sizes_are_written_for_people() -> None:
    assert [human_size(size) for size in (0, 1023, 1536, 64 << 20, 5 << 30)] == [
        "0 bytes",
        "1023 bytes",
        "1.5 KiB",
        "64.0 MiB",
        "5120.0 MiB",
    ]

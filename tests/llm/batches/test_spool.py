"""Files of lines in a home."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tenire.errors import StoreError
from tenire.llm.batches.spool import Spool

if TYPE_CHECKING:
    from pathlib import Path

KEYS = [bytes([number]) * 20 for number in range(3)]


def line(key: bytes, text: str = "") -> bytes:
    return b'{"custom_id":"%s","body":"%s"}\n' % (key.hex().encode(), text.encode())


def test_lines_are_found_by_their_keys(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "batches")
    for number, key in enumerate(KEYS):
        spool.write("one", [line(key, "ä" * number)])
    with closing(spool.open("one")) as lines:
        assert list(lines) == KEYS
        assert [lines.get(key) for key in reversed(KEYS)] == [
            line(KEYS[2], "ää"),
            line(KEYS[1], "ä"),
            line(KEYS[0]),
        ]
        assert KEYS[0] in lines
        assert list(lines.some([KEYS[2], b"none"])) == [line(KEYS[2], "ää")]
        assert lines.get(b"none") is None


def test_a_file_that_is_lost_has_no_lines(tmp_path: Path) -> None:
    with closing(Spool(tmp_path).open("one")) as lines:
        assert list(lines) == []
        assert lines.get(KEYS[0]) is None


def test_files_that_nobody_knows_go_once_they_are_old(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "batches")
    spool.tidy(set(), 0.0)  # no folder yet
    for name in ("one", "two", "three"):
        spool.write(name, [line(KEYS[0])])
    (tmp_path / "batches" / "notes.txt").write_bytes(b"")
    spool.drop("three")
    spool.drop("three")
    made = spool.path("one").stat().st_mtime
    spool.tidy({"two"}, made + 3000)
    assert spool.path("one").exists()
    spool.tidy({"two"}, made + 4000)
    assert sorted(path.name for path in (tmp_path / "batches").iterdir()) == ["notes.txt", "two.jsonl"]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "batches").write_bytes(b"")
    with pytest.raises(StoreError, match=r"cannot be written to .*one\.jsonl"):
        Spool(tmp_path / "batches").write("one", [])

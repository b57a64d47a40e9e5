"""Files of lines in a home."""

from __future__ import annotations

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
    spool.write("one", [line(key, "ä" * number) for number, key in enumerate(KEYS)])
    with spool.reading("one") as lines:
        assert list(lines) == KEYS
        assert [lines.get(key) for key in reversed(KEYS)] == [
            line(KEYS[2], "ää"),
            line(KEYS[1], "ä"),
            line(KEYS[0]),
        ]
        assert KEYS[0] in lines
        assert lines.get(b"none") is None


def test_a_file_that_is_lost_has_no_lines(tmp_path: Path) -> None:
    with Spool(tmp_path).reading("one") as lines:
        assert list(lines) == []
        assert lines.get(KEYS[0]) is None


def test_files_that_nobody_knows_go(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "batches")
    spool.tidy(set())  # no folder yet
    for name in ("one", "two", "three"):
        spool.write(name, [line(KEYS[0])])
    spool.path("four").with_suffix(".half").write_bytes(b"")
    spool.drop("three")
    spool.drop("three")
    spool.tidy({"two"})
    assert [path.name for path in (tmp_path / "batches").iterdir()] == ["two.jsonl"]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "batches").write_bytes(b"")
    with pytest.raises(StoreError, match=r"cannot be written to .*one\.jsonl"):
        Spool(tmp_path / "batches").write("one", [])

from __future__ import annotations

import pytest

from tenire.pipeline.expected_size import expected_size


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("/a/b.txt", 100, 100),
        ("/a/b.txt.gz", 100, 400),
        ("REPORT.DOCX", 100, 400),
        ("a.zip", 100, 500),
        ("a.tar.xz", 10 << 20, 18 << 20),
        ("a.tar", 2 << 30, 8 << 20),
        ("notes", 100, 100),
        ("a.pdf", 100, 100),
    ],
)
def test_a_name_tells_about_how_many_bytes_come_out(name: str, size: int, expected: int) -> None:
    assert expected_size(name, size) == expected

"""Names that hold no text."""

from __future__ import annotations

import pytest

from tenire.pipeline.skipped_types import NO_TEXT_SUFFIXES, holds_no_text


@pytest.mark.parametrize("name", ["a.PNG", "dir.x/b.mp4", "libssl.so", "libssl.so.3", "x.tar.jpeg", "m.safetensors"])
def test_media_programs_and_weights_hold_no_text(name: str) -> None:
    assert holds_no_text(name)


@pytest.mark.parametrize(
    "name", ["README", "png", ".png", "a.ts", "a.pdf", "a.bin", "a.so.txt", "notes.md", "a.zip", "x.", ""]
)
def test_names_that_can_hold_text_are_not_skipped(name: str) -> None:
    assert not holds_no_text(name)


def test_suffixes_are_lower_case_and_without_dots() -> None:
    assert all(suffix == suffix.lower() and "." not in suffix for suffix in NO_TEXT_SUFFIXES)

"""What a file is, by its name and its first bytes."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import pytest

from tenire.documents.formats import Kind, binary_format, kind_of, names_text, unsupported_format


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.md", Kind.MARKDOWN),
        ("A.MARKDOWN", Kind.MARKDOWN),
        ("a.rst", Kind.RST),
        ("a.rst.txt", Kind.RST),
        ("a.html", Kind.HTML),
        ("a.py", Kind.CODE),
        ("a.toml", Kind.CODE),
        ("a.log", Kind.TEXT),
        ("README", Kind.TEXT),
        (".md", Kind.TEXT),
        ("a.zzz", Kind.TEXT),
    ],
)
def test_a_name_decides_first(name: str, kind: Kind) -> None:
    assert kind_of(name, b"plain words") is kind


def test_a_name_that_says_nothing_is_looked_at() -> None:
    assert kind_of("page", b"\n<!DOCTYPE html><p>x") is Kind.HTML
    assert kind_of("page.xml", b'<?xml version="1.0"?>\n<html xmlns="x">') is Kind.HTML
    assert kind_of("page.xml", b'<?xml version="1.0"?>\n<feed>') is Kind.TEXT
    assert kind_of("run", b"#!/bin/sh\n") is Kind.CODE
    assert kind_of("notes.txt", b"<html>") is Kind.TEXT


def test_formats_that_cannot_be_read_are_named() -> None:
    assert unsupported_format("Report.DOC") == "old Word"
    assert unsupported_format("a.7z") == "7-Zip archive"
    assert unsupported_format("a.txt") is None
    assert unsupported_format("doc") is None


def test_names_that_may_be_plain_text_are_judged_by_their_content() -> None:
    for name in ("server.key", "graph.dot", "words.db", "chapter.one", "some.pages"):
        assert unsupported_format(name) is None
        assert not names_text(name) or name == "graph.dot"
    assert binary_format(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1rest") == ("old Office document", True)


def test_real_binary_files_are_recognised_by_their_content(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "a.db")
    connection.execute("CREATE TABLE t(x)")
    connection.commit()
    connection.close()
    assert binary_format((tmp_path / "a.db").read_bytes()) == ("SQLite database", True)
    program = Path(sys.executable).read_bytes()[:4096]
    found = binary_format(program)
    assert found is not None
    assert found[1] is False


@pytest.mark.parametrize(
    "text", [b"RIFF raff and other words", b"ID3 tags explained", b"BZh", b"MZ is a region", b"", b"PAR1"]
)
def test_a_sentence_that_begins_like_a_format_stays_text(text: bytes) -> None:
    assert binary_format(text) is None

"""Titles by the conventions of each markup."""

from __future__ import annotations

import pytest

from tenire.documents.formats import Kind
from tenire.documents.markup import title_of


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# The title #\n\ntext", "The title"),
        ("text first\n\n## Later title", "Later title"),
        ("The title\n=========\n\n# Other", "The title"),
        ('---\ntitle: "Front matter"\ntags: [a]\n---\n# Heading', "Front matter"),
        ("---\ntags: [a]\n---\n# Heading", "Heading"),
        ("```sh\n# a comment\n```\n# Real", "Real"),
        ("#hashtag\nno title", ""),
        ("", ""),
    ],
)
def test_markdown_titles(text: str, title: str) -> None:
    assert title_of(text, Kind.MARKDOWN) == title


@pytest.mark.parametrize(
    ("text", "title"),
    [
        (".. _label:\n\nThe Title\n=========\n\ntext", "The Title"),
        ("=====\nOver\n=====\n\ntext", "Over"),
        (":mod:`asyncio` --- Asynchronous I/O\n===================================\n", "asyncio --- Asynchronous I/O"),
        ("*Emphasis* and ``code``\n-----------------------", "Emphasis and code"),
        ("A long line of words\n---\n", ""),
        ("no title here", ""),
    ],
)
def test_restructuredtext_titles(text: str, title: str) -> None:
    assert title_of(text, Kind.RST) == title


def test_plain_text_and_code_have_no_titles() -> None:
    assert title_of("# comment\n", Kind.CODE) == ""
    assert title_of("Words\n=====\n", Kind.TEXT) == ""


@pytest.mark.parametrize(
    "text", ["#" * 9000, "`" * 9000, "x" * 5000 + "\n" + "=" * 5000, "a\n=" * 4000, "---\ntitle:" + " " * 8000]
)
@pytest.mark.parametrize("kind", [Kind.MARKDOWN, Kind.RST])
def test_strange_heads_are_read_quickly(text: str, kind: Kind) -> None:
    assert len(title_of(text, kind)) < 9000

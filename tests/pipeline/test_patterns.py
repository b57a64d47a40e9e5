"""Globs as automata: the walk and the question must agree."""

from __future__ import annotations

import pytest

from tenire.pipeline.patterns import TreePattern, has_magic


@pytest.mark.parametrize(
    ("pattern", "path", "found"),
    [
        ("*.md", "a.md", True),
        ("*.md", "d/a.md", False),
        ("**/*.md", "a.md", True),
        ("**/*.md", "x/y/z/a.md", True),
        ("**/*.md", "x/.y/a.md", False),
        ("**/*.md", ".a.md", False),
        ("**", "x/y", True),
        ("**/", "x/y", False),
        ("a/**/b/*.txt", "a/b/c.txt", True),
        ("a/**/b/*.txt", "a/x/b/y/b/c.txt", True),
        ("a/**/b/*.txt", "a/x/c.txt", False),
        ("*/docs", "p/docs/deep/file.txt", True),
        ("*/docs", "p/docs/.deep/file.txt", False),
        (".*/x", ".git/x", True),
        ("[!a]?.c", "bb.c", True),
        ("[!a]?.c", "ab.c", False),
    ],
)
def test_a_pattern_finds_what_its_walk_would(pattern: str, path: str, found: bool) -> None:
    assert TreePattern(pattern.split("/")).finds(path.split("/")) is found


def test_a_walk_stops_where_nothing_below_can_match() -> None:
    pattern = TreePattern(["docs", "*.md"])
    assert pattern.step(pattern.start(), "src") == frozenset()
    assert not pattern.accepts(pattern.start())


def test_wildcards_are_recognised() -> None:
    assert [has_magic(path) for path in ("a/b.md", "a/*.md", "a?.md", "[ab]")] == [False, True, True, True]

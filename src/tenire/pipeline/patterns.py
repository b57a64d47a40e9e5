"""Glob patterns that can be walked lazily and asked about a path.

A pattern is compiled into segments, and a walk carries the set of segments it
may be in (a small non-deterministic automaton). So a directory that cannot
lead to a match is never opened, ``**`` costs nothing extra, and the same object
answers "would this pattern find that path?" without walking at all, which is
how a file named by two patterns is listed once without remembering paths.

Rules: ``*``, ``?`` and ``[…]`` stay within one name; ``**`` stands for any
number of directories; a name that starts with a dot is matched only by a
segment that starts with a dot.
"""

from __future__ import annotations

import fnmatch
import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["States", "TreePattern", "has_magic"]

States = frozenset[int]
"""Segments that a walk may be in front of; empty means that nothing below can match."""

_MAGIC = re.compile(r"[*?\[]")


def has_magic(path: str) -> bool:
    """Return whether a path contains wildcards."""
    return _MAGIC.search(path) is not None


class TreePattern:
    """The wildcard part of a glob, below its fixed base directory.

    Attributes:
        segments: The pattern's segments, for example ``("**", "*.md")``.
    """

    __slots__ = ("_any_depth", "_end", "_segments", "segments")

    def __init__(self, segments: Sequence[str]) -> None:
        # A final "**" means "everything below", as in shells; as a pure
        # directory wildcard it would match no file at all.
        self.segments = tuple(segments) if segments[-1] != "**" else (*segments, "*")
        self._any_depth = tuple(segment == "**" for segment in self.segments)
        self._segments = tuple(
            (re.compile(fnmatch.translate(os.path.normcase(segment))), segment.startswith("."))
            for segment in self.segments
        )
        self._end = len(self.segments)

    def start(self) -> States:
        """Return the states of a walk that stands in the base directory."""
        return self._closed({0})

    def step(self, states: States, name: str) -> States:
        """Return the states after entering ``name``; test them with ``accepts``."""
        hidden = name.startswith(".")
        folded = os.path.normcase(name)
        following: set[int] = set()
        for state in states:
            if state == self._end:
                continue
            if self._any_depth[state]:
                if not hidden:
                    following.add(state)
                continue
            regex, wants_hidden = self._segments[state]
            if hidden == wants_hidden and regex.match(folded):
                following.add(state + 1)
        return self._closed(following)

    def accepts(self, states: States) -> bool:
        """Return whether the whole pattern has been matched."""
        return self._end in states

    def finds(self, parts: Sequence[str]) -> bool:
        """Return whether a walk would find the file at these names below the base.

        A directory that the whole pattern matches is walked as if it had been
        named, so everything below it that is not hidden is found too.
        """
        states = self.start()
        for index, name in enumerate(parts):
            states = self.step(states, name)
            if self.accepts(states) and not any(part.startswith(".") for part in parts[index + 1 :]):
                return True
            if not states:
                return False
        return False

    def _closed(self, states: set[int]) -> States:
        # "**" may stand for no directory at all.
        closed = set(states)
        for state in sorted(states):
            following = state
            while following < self._end and self._any_depth[following]:
                following += 1
                closed.add(following)
        return frozenset(closed)

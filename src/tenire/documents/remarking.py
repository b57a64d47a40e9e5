"""Marks of a text that was changed: they stay with the lines that did not change."""

from __future__ import annotations

from bisect import bisect_left

from tenire.documents.structure import plain

__all__ = ["remarked"]


def remarked(marked: str, changed: str) -> str:
    """Return a changed text with the marks of those lines that are in it as they were, in their order.

    Takes time in proportion to both texts.

    Args:
        marked: The text before, with marks or without.
        changed: The text now, without marks.
    """
    before = marked.split("\n")
    lines = changed.split("\n")
    places: dict[str, list[int]] = {}
    for number, line in enumerate(lines):
        places.setdefault(line, []).append(number)
    after = 0
    for line in before:
        bare = plain(line)
        if bare == line or not bare.strip():
            continue
        found = places.get(bare, [])
        place = bisect_left(found, after)
        if place < len(found):
            after = found[place]
            lines[after] = line
            after += 1
    return "\n".join(lines)

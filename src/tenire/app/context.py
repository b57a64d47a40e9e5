"""A passage among its neighbours: one text, with the place of the passage in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenire.protocols import Passage

__all__ = ["Context", "joined"]


@dataclass(frozen=True, slots=True)
class Context:
    """A passage and those around it.

    Attributes:
        text: All of them, in order.
        start: Offset in ``text`` of the passage's first character.
        end: Offset in ``text`` after its last character.
        first: Ordinal of the first of them.
        last: Ordinal of the last of them.
    """

    text: str
    start: int
    end: int
    first: int
    last: int


def joined(passages: Sequence[Passage], ordinal: int) -> Context | None:
    """Join passages of one document.

    What two of them share is there once. Between them was blank space, of which only
    the length is known: one character becomes a line's end, more become an empty line.

    Args:
        passages: Some in a row, in order.
        ordinal: Which of them was found.

    Returns:
        The joined text, or ``None`` if the passage is not among them: its document has
        just left.
    """
    text, place, end = "", None, 0
    for passage in passages:
        gap = passage.start - end if text else 0
        if gap > 0:
            text += "\n" if gap == 1 else "\n\n"
        start = len(text) + min(gap, 0)
        if passage.ordinal == ordinal:
            place = (start, start + len(passage.text))
        text += passage.text[-min(gap, 0) :]
        end = max(end, passage.end)
    if place is None:
        return None
    return Context(text, *place, first=passages[0].ordinal, last=passages[-1].ordinal)

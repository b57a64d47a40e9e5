"""Cuts the texts of a row until its prompt fits into what the model can take."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["shorter"]

# "maximum context length is 8192 tokens. However, you requested 9000 tokens (…", "208310 tokens > 200000 maximum"
_TOKENS = re.compile(r"(\d[\d,]*)\s*(?:tokens|maximum)")
_MARGIN = 0.9
_UNTOLD = 0.6
_SHORTEST = 32
"""Characters below which a text is not cut any more."""


def shorter(fields: Mapping[str, Any], used: Sequence[str], complaint: str) -> dict[str, Any] | None:
    """Return the fields of a row with its longest text cut at the end, or ``None`` if nothing is left to cut.

    Args:
        fields: The row.
        used: The fields that stand in the prompt.
        complaint: What the server said. Most say how many tokens there may be and how
            many there were: then one cut will mostly do.
    """
    texts = [name for name in dict.fromkeys(used) if isinstance(fields.get(name), str)]
    longest = max(texts, key=lambda name: len(fields[name]), default=None)
    if longest is None or len(fields[longest]) <= _SHORTEST:
        return None
    text: str = fields[longest]
    whole = sum(len(fields[name]) for name in texts)
    # What has to go is taken from one text: the others are mostly short and say what it is about.
    left = max(_SHORTEST, len(text) - round(whole * (1 - _share(complaint))))
    return {**fields, longest: _cut(text, min(left, len(text) - 1))}


def _share(complaint: str) -> float:
    """Return how much of a prompt may stay, by what the server said of it."""
    told = [int(number.replace(",", "")) for number in _TOKENS.findall(complaint)]
    asked = max(told, default=0)
    limit = next((number for number in told if number < asked), 0)
    return limit / asked * _MARGIN if limit else _UNTOLD


def _cut(text: str, length: int) -> str:
    """Return the beginning of a text, ending with a whole word if there is one near."""
    cut = text[:length]
    space = max(cut.rfind(" "), cut.rfind("\n"))
    return cut[:space] if space > length * 0.8 else cut

"""Texts from anywhere, as whatever shows them can bear: no name drives a terminal or looks like another one."""

from __future__ import annotations

import re

__all__ = ["clean"]

# C0 and C1 controls, DEL, and the characters that reorder text (bidirectional
# overrides) or break lines: a name must not look like another one.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_LINE_BREAKS = re.compile("[\t\n]")


def clean(text: str, *, lines: bool = False) -> str:
    """Return a text that can be shown: what steers a terminal or turns letters round is written out.

    Args:
        text: Any text, with surrogates for undecodable bytes.
        lines: Whether newlines and tabs stay; otherwise they are escaped too.
    """
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    text = _UNSAFE.sub(_escaped, text)
    return text if lines else _LINE_BREAKS.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")

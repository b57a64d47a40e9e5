"""Scripts that put no blanks between words, or join what is looked for to what follows.

Chinese, Japanese, Thai, Lao, Khmer and Burmese text is one run of letters, and Korean words carry
their endings. Taken for one word, such a run is found only by who asks for all of it. So each of
its characters is a word of the index, and any two of them in a row are a word of a query.
"""

from __future__ import annotations

import re
from itertools import pairwise

__all__ = ["UNSPACED", "pairs", "spaced"]

UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7a3\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
"""Their characters, as a part of a regular expression's set."""

_CHARACTER = re.compile(f"[{UNSPACED}]")
_RUN = re.compile(f"[{UNSPACED}]+")


def spaced(text: str) -> str:
    """Return a text with blanks around each character of such a script."""
    return text if text.isascii() else _CHARACTER.sub(r" \g<0> ", text)


def pairs(word: str) -> list[str]:
    """Return what to ask for in place of a word: itself, or of such a run any two characters in a row."""
    if word.isascii() or not _RUN.search(word):
        return [word]
    found: list[str] = []
    end = 0
    for run in _RUN.finditer(word):
        found += [word[end : run.start()]] if run.start() > end else []
        characters = run.group()
        found += [f"{a} {b}" for a, b in pairwise(characters)] or [characters]
        end = run.end()
    return found + ([word[end:]] if end < len(word) else [])

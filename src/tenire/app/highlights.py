"""Which words of a passage are those of the query."""

from __future__ import annotations

import re
from functools import lru_cache

from tenire.vectors.unspaced import UNSPACED

__all__ = ["highlights", "query_pattern"]

_WORD = re.compile(r"\w+")
_RUN = re.compile(f"[{UNSPACED}]+")
# Words that would be marked on every line and tell nothing.
_COMMON = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be by can do does for from how i in is it my not of on or that the this to was what "
        "when where which who why with without you your",
    )
)


@lru_cache(maxsize=16)
def query_pattern(query: str) -> re.Pattern[str] | None:
    """Return what to highlight: words that begin like the words of the query, or ``None``."""
    folded = query.casefold()
    # Written without blanks: the whole run, or any two characters of it.
    runs = _RUN.findall(folded)
    parts = [*sorted(runs, key=len, reverse=True), *(run[at : at + 2] for run in runs for at in range(len(run) - 1))]
    words = {word for word in _WORD.findall(_RUN.sub(" ", folded)) if len(word) > 1}
    words = words - _COMMON or words
    # Long words also in their inflections: cancel, cancelled, cancelling.
    parts += [
        rf"\b{re.escape(word)}" + (r"\w*" if len(word) > 3 else r"\b") for word in sorted(words, key=len, reverse=True)
    ]
    return re.compile("|".join(dict.fromkeys(parts)), re.IGNORECASE) if parts else None


def highlights(text: str, query: str) -> list[list[int]]:
    """Return begin and end of each word of ``text`` to highlight."""
    pattern = query_pattern(query)
    return [] if pattern is None else [[match.start(), match.end()] for match in pattern.finditer(text)]

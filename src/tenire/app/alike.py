"""Whether two passages say the same to whoever asked, so that one of them is enough in a list."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

__all__ = ["Words", "alike", "words_of"]

_WORD = re.compile(r"\w+")
_HAS_DIGIT = re.compile(r"\d")
_IN_COMMON = 0.95
_FEWEST = 12


class Words(NamedTuple):
    """The words of a passage, in lower case.

    Attributes:
        all: All of them, in order.
        different: Which ones there are.
    """

    all: list[str]
    different: frozenset[str]


def words_of(text: str) -> Words:
    """Return the words of a text."""
    words = _WORD.findall(text.lower())
    return Words(words, frozenset(words))


def alike(one: Words, other: Words, asked: AbstractSet[str]) -> bool:
    """Return whether two passages are the same but for a few words that make no difference.

    They are if 95 of 100 words are the same, and none of the others was asked for or
    holds a digit: a version, a date or an amount is what a reader looks for.

    Args:
        one: The words of one passage.
        other: The words of the other.
        asked: Words of the query, in lower case.
    """
    shorter, total = min(len(one.all), len(other.all)), len(one.all) + len(other.all)
    if shorter < _FEWEST or 2 * shorter < _IN_COMMON * total:
        return False
    # Sets are compared in a microsecond, and tell nearly all pairs apart: each word that one lacks is a word less.
    if len(one.different ^ other.different) > (1 - _IN_COMMON) * total:
        return False
    left, right = Counter(one.all), Counter(other.all)
    if 2 * (left & right).total() < _IN_COMMON * total:
        return False
    differing = (left - right).keys() | (right - left).keys()
    return asked.isdisjoint(differing) and not any(map(_HAS_DIGIT.search, differing))

"""Whether a text is worth finding: measures with a limit each, named and asked for one by one.

The measures and their usual limits are those with which texts were chosen to train
language models on, which had to tell prose from menus, tables, logs and generated
pages:

* Rae et al., *Scaling Language Models: Methods, Analysis & Insights from Training
  Gopher*, 2021, appendix A1.1 ("Gopher" below);
* Raffel et al., *Exploring the Limits of Transfer Learning with a Unified
  Text-to-Text Transformer*, 2020, section 2.2 ("C4");
* Penedo et al., *The FineWeb Datasets*, 2024, section 3.6 ("FineWeb").

A text without words is judged by none of them.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

__all__ = ["RULES", "Rule", "broken_rule"]

_STOPWORDS = {
    language: frozenset(words.split())
    for language, words in {
        "de": "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch",
        "en": "the be to of and that have with",
        "es": "de la que el en y a los se del las un por con no una su para es al lo como",
        "fr": "de la le et les des en un du une que est pour qui dans a par plus pas au sur ne se",
        "it": "di e il la che in un a per è una sono con non si da come le dei del nel alla",
        "nl": "de en van ik te dat die in een hij het niet zijn is was op aan met als voor er",
        "pt": "de a o que e do da em um para com não uma os no se na por mais as dos como",
    }.items()
}
_UNSPACED = frozenset({"ja", "km", "lo", "my", "th", "zh"})
"""Languages that put no blanks between words, so that what stands between blanks is none."""
_BULLETS = ("-", "*", "•", "‣", "●", "▪", "–", "+")
_ENDS = (".", "!", "?", '"', "”", "…", "。", "！", "？", ":", ";")
_ELLIPSES = ("…", "...")
_HAS_LETTER = re.compile(r"[^\W\d_]")


class Rule(NamedTuple):
    """One measure of a text.

    Attributes:
        measure: Gives the value.
        limit: The usual limit.
        at_most: Whether the value may be at most the limit; otherwise at least.
        what: What the value is, for people.
    """

    measure: Callable[[_Text], float]
    limit: float
    at_most: bool
    what: str


class _Text:
    """A text in its parts, each found once."""

    def __init__(self, text: str, language: str) -> None:
        self.text = text
        self.language = language

    @cached_property
    def words(self) -> list[str]:
        return self.text.split()

    @cached_property
    def lines(self) -> list[str]:
        return [line for line in map(str.strip, self.text.split("\n")) if line]

    @cached_property
    def paragraphs(self) -> list[str]:
        return [part for part in map(str.strip, re.split(r"\n{2,}", self.text)) if part]

    def share_of_lines(self, chosen: Callable[[str], bool]) -> float:
        return sum(map(chosen, self.lines)) / len(self.lines)

    def share_of_words(self, chosen: Callable[[str], object]) -> float:
        return sum(map(bool, map(chosen, self.words))) / len(self.words)

    def top_ngram(self, size: int) -> float:
        """Characters in the most frequent run of ``size`` words, as a share of all characters of words."""
        words = self.words
        runs = Counter(zip(*(words[start:] for start in range(size)), strict=False))
        if not runs:
            return 0.0
        run, count = max(runs.items(), key=lambda item: (item[1], sum(map(len, item[0]))))
        return count * sum(map(len, run)) / sum(map(len, words)) if count > 1 else 0.0


def _repeated(parts: Iterable[str]) -> float:
    """Characters in parts that stood before already, as a share of all characters."""
    parts = list(parts)
    seen: set[str] = set()
    again = 0
    for part in parts:
        if part in seen:
            again += len(part)
        seen.add(part)
    return again / sum(map(len, parts))


def _stopwords(text: _Text) -> float:
    known = _STOPWORDS.get(text.language)
    if known is None:
        return float("inf")  # a language whose words are not known here
    return len(known.intersection(map(str.lower, text.words)))


RULES: dict[str, Rule] = {
    "min_words": Rule(lambda text: len(text.words), 50, at_most=False, what="words"),  # Gopher
    "max_words": Rule(lambda text: len(text.words), 100_000, at_most=True, what="words"),  # Gopher
    "min_word_length": Rule(
        lambda text: sum(map(len, text.words)) / len(text.words), 3, at_most=False, what="letters in a word on average"
    ),  # Gopher
    "max_word_length": Rule(
        lambda text: sum(map(len, text.words)) / len(text.words), 10, at_most=True, what="letters in a word on average"
    ),  # Gopher
    "symbols": Rule(
        lambda text: sum(map(text.text.count, ("#", *_ELLIPSES))) / len(text.words),
        0.1, at_most=True, what="signs # and … for each word",
    ),  # Gopher
    "bullet_lines": Rule(
        lambda text: text.share_of_lines(lambda line: line.startswith(_BULLETS)),
        0.9, at_most=True, what="of the lines are items of lists",
    ),  # Gopher
    "ellipsis_lines": Rule(
        lambda text: text.share_of_lines(lambda line: line.endswith(_ELLIPSES)),
        0.3, at_most=True, what="of the lines end with …",
    ),  # Gopher
    "words_with_letters": Rule(
        lambda text: text.share_of_words(_HAS_LETTER.search), 0.8, at_most=False, what="of the words hold a letter"
    ),  # Gopher
    "stopwords": Rule(_stopwords, 2, at_most=False, what="of the words that every prose of its language has"),  # Gopher
    "repeated_lines": Rule(
        lambda text: _repeated(text.lines), 0.2, at_most=True, what="of the characters are lines that stood before"
    ),  # Gopher
    "repeated_paragraphs": Rule(
        lambda text: _repeated(text.paragraphs),
        0.2, at_most=True, what="of the characters are paragraphs that stood before",
    ),  # Gopher
    "repeated_two_words": Rule(
        lambda text: text.top_ngram(2), 0.2, at_most=True, what="of the characters are the same two words"
    ),  # Gopher
    "repeated_three_words": Rule(
        lambda text: text.top_ngram(3), 0.18, at_most=True, what="of the characters are the same three words"
    ),  # Gopher
    "repeated_four_words": Rule(
        lambda text: text.top_ngram(4), 0.16, at_most=True, what="of the characters are the same four words"
    ),  # Gopher
    "finished_lines": Rule(
        lambda text: text.share_of_lines(lambda line: line.endswith(_ENDS)),
        0.12, at_most=False, what="of the lines end as sentences do",
    ),  # FineWeb, after C4
    "braces": Rule(
        lambda text: text.text.count("{") / len(text.words), 0, at_most=True, what="braces for each word"
    ),  # C4, which took them for a sign of code
    "lorem_ipsum": Rule(
        lambda text: text.text.lower().count("lorem ipsum"), 0, at_most=True, what="times lorem ipsum"
    ),  # C4
}  # fmt: skip
"""The measures by name, in the order in which they are asked."""
_OF_WORDS = frozenset(name for name, rule in RULES.items() if "word" in f"{name} {rule.what}")


def broken_rule(text: str, language: str, limits: Collection[tuple[str, float]]) -> tuple[str, str] | None:
    """Return the first rule that a text breaks, with its reason, or ``None`` if it keeps all of them.

    Args:
        text: A cleansed text.
        language: Its language, an ISO 639-1 code, or an empty string. What asks for
            words of a language is not asked where they are not known, and what counts
            words is not where no blanks tell them apart.
        limits: Rules and their limits.

    >>> broken_rule("buy now " * 100, "en", [("repeated_two_words", 0.2)])
    ('repeated_two_words', 'expected at most 0.2 of the characters are the same two words, got 1')
    """
    if not limits:
        return None
    parts = _Text(text, language)
    if not parts.words:
        return None
    for name, limit in limits:
        if name in _OF_WORDS and language in _UNSPACED:
            continue
        rule = RULES[name]
        value = rule.measure(parts)
        if value > limit if rule.at_most else value < limit:
            bound = "at most" if rule.at_most else "at least"
            return name, f"expected {bound} {limit:g} {rule.what}, got {value:.4g}"
    return None

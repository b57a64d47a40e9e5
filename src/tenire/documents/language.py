"""Which language a text is in, told from a small sample of its prose."""

from __future__ import annotations

import re

from tenire.documents.language_model import NOTHING, identifier

__all__ = ["language_of"]

_SAMPLE = 240
_PIECE = 120
_LOOKED_THROUGH = 8_000
_SURE = 0.9
_FEWEST_BYTES = 24
_NO_PROSE = re.compile(r"[={}<>|\\_;]|\w\(")
# Words that only English builds its sentences with. A sample that is a quarter of these,
# four different ones among them, and has no letters but a to z, is English: so it was
# for two in three English pages, and for none of 600 pages in 25 other languages. It
# spares them the model, which takes a fifth of the time that a page needs as a whole.
_ENGLISH = frozenset(
    ("the", "and", "of", "is", "that", "with", "which", "this", "are", "be", "to", "from", "for", "you", "it", "have",
     "not", "can", "by", "will", "when", "if", "an", "or", "as", "in", "on", "was", "should", "use", "used")
)  # fmt: skip
_ENGLISH_SHARE, _ENGLISH_WORDS = 0.25, 4
# Too close for some lines to tell them apart for sure: together they are sure enough.
_CLOSE = ({"hr", "bs", "sr", "sl"}, {"id", "ms"}, {"no", "nn", "da"})


def language_of(text: str) -> str:
    """Return the language of a text as an ISO 639-1 code, or an empty string where that is not sure.

    Args:
        text: A cleansed text. Of its first 8,000 characters, 240 of prose are looked at,
            or the first ones where there is no prose.

    Raises:
        MissingExtraError: If py3langid is not installed.
    """
    sample = _sample(text)
    if _is_plain_english(sample):
        return "en"
    # Latin letters are one byte each; signs that stand for syllables or words are three.
    if len("".join(filter(str.isalpha, sample)).encode("utf-8", "ignore")) < _FEWEST_BYTES:
        return ""
    (code, sure), *others = identifier().rank(sample)[:3]
    if sure < _SURE:
        close = next((group for group in _CLOSE if code in group), set())
        sure += sum(share for other, share in others if other in close)
    return str(code) if sure >= _SURE and code != NOTHING else ""


def _sample(text: str) -> str:
    pieces: list[str] = []
    length = 0
    for line in text[:_LOOKED_THROUGH].split("\n"):
        piece = line.strip()[:_PIECE]
        if _is_prose(piece):
            pieces.append(piece)
            length += len(piece)
            if length >= _SAMPLE:
                break
    return "\n".join(pieces) if pieces else text[:_SAMPLE].strip()


def _is_plain_english(sample: str) -> bool:
    words = sample.lower().split()
    english = [word for word in words if word in _ENGLISH]
    if len(english) < _ENGLISH_SHARE * len(words) or len(set(english)) < _ENGLISH_WORDS:
        return False
    return sample.isascii() or not any(sign.isalpha() and not sign.isascii() for sign in set(sample))


def _is_prose(line: str) -> bool:
    """Whether a line is one of words, not of code, numbers or a table; scripts without blanks count as words."""
    if not line.isascii():
        return len(line) >= 12 and _NO_PROSE.search(line) is None
    blanks = line.count(" ")
    return blanks >= 4 and line[0].isalpha() and blanks * 12 >= len(line) and _NO_PROSE.search(line) is None

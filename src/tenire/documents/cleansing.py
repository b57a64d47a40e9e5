"""Text without its accidents: one newline, one blank, no control characters, no mojibake.

Paragraphs and the indentation of code stay. Every step is linear in the length
of the text, also for one line of 60 MB; the regular expressions are bounded or
cannot backtrack for that reason.
"""

from __future__ import annotations

import re
import unicodedata

from tenire.errors import MissingExtraError

__all__ = ["cleanse", "repair_mojibake"]

_BREAKS = re.compile(r"\r\n?|[\v\f\x85\u2028\u2029]")
_TERMINAL = re.compile(r"\x1b\[[0-?]{0,32}[ -/]{0,4}[@-~]")
# Control characters, soft hyphens, zero-width spaces, stray byte-order marks and
# lone surrogates. The zero-width joiners stay: Persian and emoji need them.
_DROPPED = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u200b\u2060\ufeff\ufffe\uffff\ud800-\udfff]+")
_BLANKS = re.compile(r"[\xa0\u202f\u2007]")
_EMPTY_LINES = re.compile(r"\n{4,}")

# UTF-8 read as an 8-bit encoding: a lead byte's letter, then a continuation byte's sign.
_MOJIBAKE = re.compile("[ÂÃÄÅâãðÐÑ][\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]")
# ftfy works at 3 MB/s, so it sees only the pieces that show signs.
_PIECE = re.compile(r"[^\n]{1,4000}")


def cleanse(text: str, *, repair: bool = True) -> str:
    """Return a text that is ready to be cut into passages.

    Args:
        text: The text as decoded or extracted.
        repair: Whether to undo mojibake. Source code may hold it on purpose.

    Returns:
        The text in NFC, with a line feed as its only line break, no blanks at line
        ends, at most two empty lines in a row, and none at either end.

    Raises:
        MissingExtraError: If mojibake is found and ftfy is not installed.
    """
    if "\x1b" in text:
        text = _TERMINAL.sub("", text)
    # Before the line breaks: U+0085 may be the second half of a broken letter.
    if repair and not text.isascii() and _MOJIBAKE.search(text):
        text = repair_mojibake(text)
    text = _BREAKS.sub("\n", text)
    text = _DROPPED.sub("", text)
    if not text.isascii():
        text = _BLANKS.sub(" ", text)
        if not unicodedata.is_normalized("NFC", text):
            text = unicodedata.normalize("NFC", text)
    text = "\n".join(map(str.rstrip, text.split("\n")))
    return _EMPTY_LINES.sub("\n\n\n", text).strip("\n")


def repair_mojibake(text: str) -> str:
    """Undo UTF-8 that was read as an 8-bit encoding, where it shows signs of that.

    Raises:
        MissingExtraError: If ftfy is not installed.
    """
    try:
        from ftfy import fix_encoding
    except ImportError as error:
        raise MissingExtraError("repairing broken encodings", extra="data", missing="ftfy") from error

    def repair(piece: re.Match[str]) -> str:
        found = piece.group()
        return fix_encoding(found) if _MOJIBAKE.search(found) else found

    return _PIECE.sub(repair, text)

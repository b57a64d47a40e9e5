"""Text without its accidents: one newline, one blank, no control characters, no mojibake.

Paragraphs and the indentation of code stay. Every step is linear in the length
of the text, also for one line of 60 MB; the regular expressions are bounded or
cannot backtrack for that reason.

Most texts need few of the steps. One look finds the characters that are not
printable ASCII, tabs and newlines, a few dozen different ones at the most, and they
say what has to be done: 8 times as fast as trying each step on each text.
"""

from __future__ import annotations

import re
import sys
import unicodedata

from tenire.documents.structure import LineMap
from tenire.errors import MissingExtraError

__all__ = ["cleanse", "cleanse_lines", "repair_mojibake"]

_PLAIN = bytes(range(0x20, 0x7F)) + b"\t\n"

_BREAKS = re.compile(r"\r\n?|[\v\f\x85\u2028\u2029]")
# Line breaks of a text that are none of its file, as editors count.
_OWN_BREAKS = re.compile(r"[\v\f\x85\u2028\u2029]")
_BREAK_SIGNS = frozenset("\r\v\f\x85\u2028\u2029")
_TERMINAL = re.compile(r"\x1b\[[0-?]{0,32}[ -/]{0,4}[@-~]")
# Control characters, soft hyphens, zero-width spaces, stray byte-order marks and
# lone surrogates. The zero-width joiners stay: Persian and emoji need them.
_DROPPED = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u200b\u2060\ufeff\ufffe\uffff\ud800-\udfff]+")
_BLANKS = "\xa0\u202f\u2007"
_TRAILING = (" \n", "\t\n")
_EMPTY_LINES = re.compile(r"\n{4,}")
_MOST_EMPTY = 3

# UTF-8 read as an 8-bit encoding: a lead byte's letter, then a continuation byte's sign.
_LEADS = frozenset("ÂÃÄÅâãðÐÑ")
_MOJIBAKE = re.compile("[ÂÃÄÅâãðÐÑ][\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]")
# ftfy works at 3 MB/s, so it sees only the pieces that show signs.
_PIECE = re.compile(r"[^\n]{1,4000}")

# Below this nothing decomposes or combines; these signs above it stand for themselves too.
_FIRST_COMBINING = "\u0300"
_ALONE = frozenset("–—‘’‚“”„†‡•…‰‹›€™←→↑↓✓●■□▪▶\ufdd0\ufdd1")


def cleanse(text: str, *, repair: bool = True) -> str:
    """Return a text that is ready to be cut into passages.

    Args:
        text: The text as decoded or extracted; marks of ``structure`` stay in it.
        repair: Whether to undo mojibake. Source code may hold it on purpose.

    Returns:
        The text in NFC, with a line feed as its only line break, no blanks at line
        ends, at most two empty lines in a row, and none at either end.

    Raises:
        MissingExtraError: If mojibake is found and ftfy is not installed.
    """
    text, _ = _without_accidents(text, repair=repair, lines=False)
    if "\n\n\n\n" in text:
        text = _EMPTY_LINES.sub("\n\n\n", text)
    return text.strip("\n")


def cleanse_lines(text: str, *, repair: bool = True) -> tuple[str, LineMap]:
    """Cleanse a text whose lines are lines of a file; see ``cleanse``.

    Returns:
        The text, and which lines of the file its lines were.

    Raises:
        MissingExtraError: If mojibake is found and ftfy is not installed.
    """
    text, added = _without_accidents(text, repair=repair, lines=True)
    cleansed = text.lstrip("\n")
    removed = len(text) - len(cleansed)
    changes = {0: removed} if removed else {}
    kept: list[str] = []
    done = line = 0
    for run in _EMPTY_LINES.finditer(cleansed) if "\n\n\n\n" in cleansed else ():
        kept.append(cleansed[done : run.start() + _MOST_EMPTY])
        line += kept[-1].count("\n")
        done = run.end()
        changes[line] = run.end() - run.start() - _MOST_EMPTY
        removed += changes[line]
    if kept:
        cleansed = "".join([*kept, cleansed[done:]])
    return cleansed.rstrip("\n"), _line_map(changes, added)


def _line_map(removed: dict[int, int], added: list[int]) -> LineMap:
    """Return which lines of the file the lines of the result were.

    Args:
        removed: How many lines were removed before lines of the result, ascending.
        added: Lines before that, from 0, that begin at a line break which is none of the file.
    """
    lines: list[int] = []
    shifts: list[int] = []
    shift = passed = 0

    def pass_until(end: int) -> None:
        nonlocal passed
        while passed < len(added) and added[passed] < end:
            passed += 1
            lines.append(added[passed - 1] - shift)
            shifts.append(shift - passed)

    for line, count in removed.items():
        pass_until(line + shift)
        shift += count
        while passed < len(added) and added[passed] <= line + shift:
            passed += 1  # among the removed lines
        lines.append(line)
        shifts.append(shift - passed)
    pass_until(sys.maxsize)
    return LineMap(tuple(lines), tuple(shifts))


def _without_accidents(text: str, *, repair: bool, lines: bool) -> tuple[str, list[int]]:
    """Do all that a text needs but for its empty lines; say which of its lines, from 0, begin at a break of its own."""
    signs = _signs(text)
    added: list[int] = []
    if signs:
        if "\x1b" in signs:
            text = _TERMINAL.sub("", text)
        # Before the line breaks: U+0085 may be the second half of a broken letter.
        if repair and not signs.isdisjoint(_LEADS) and _MOJIBAKE.search(text):
            text = repair_mojibake(text)
            signs = _signs(text)
        if not signs.isdisjoint(_BREAK_SIGNS):
            if lines and _OWN_BREAKS.search(text):
                added = _own_breaks(text)
            text = _BREAKS.sub("\n", text)
        if any(map(_DROPPED.match, signs)):
            text = _DROPPED.sub("", text)
        for blank in _BLANKS:
            if blank in signs:
                text = text.replace(blank, " ")
        if max(signs - _ALONE, default="") >= _FIRST_COMBINING and not unicodedata.is_normalized("NFC", text):
            text = unicodedata.normalize("NFC", text)
    if any(map(str.isspace, signs)) or text[-1:].isspace() or any(trailing in text for trailing in _TRAILING):
        text = "\n".join(map(str.rstrip, text.split("\n")))
    return text, added


def _signs(text: str) -> frozenset[str]:
    """Return the different characters of a text that are not printable ASCII, tabs or newlines."""
    rest = text.encode("utf-8", "surrogatepass").translate(None, _PLAIN)
    return frozenset(rest.decode("utf-8", "surrogatepass"))


def _own_breaks(text: str) -> list[int]:
    """Return the lines, from 0, that begin at a line break which is none of the file."""
    added: list[int] = []
    line = done = 0
    whole = text.replace("\r\n", "\n").replace("\r", "\n")
    for found in _OWN_BREAKS.finditer(whole):
        line += whole.count("\n", done, found.start()) + 1
        done = found.end()
        added.append(line)
    return added


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

"""The structure of texts that are marked up by hand: Markdown and reStructuredText.

Found line by line in the cleansed text, in one pass each; what a reader has marked
already is not looked for again.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from tenire.documents.formats import Kind
from tenire.documents.structure import Heading

if TYPE_CHECKING:
    from tenire.documents.structure import Structure

__all__ = ["with_markup"]

_LONGEST = 300
# The beginning of every line that can matter in Markdown; each match is one line.
_MARKDOWN = re.compile(
    rf"^(?P<fence> {{0,3}}(?P<sign>`{{3,}}|~{{3,}})[^\n]*)"
    rf"|^ {{0,3}}(?P<level>#{{1,6}})[ \t]+(?P<title>[^\n]{{1,{_LONGEST}}})$"
    rf"|^ {{0,3}}(?P<under>\S[^\n]{{0,{_LONGEST}}})\n {{0,3}}(?P<line>={{2,}}|-{{2,}})$"
    r"|^(?P<row>[ \t]*\|)",
    re.M,
)
_FRONT_MATTER = re.compile(r"\A---\n.*?\n(?:---|\.\.\.)(?:\n|\Z)", re.S)
_LINK = re.compile(r"!?\[([^\[\]]{0,300})\](?:\([^()\s]{0,300}\)|\[[^\[\]]{0,100}\])")
_EMPHASIS = re.compile(r"(\*{1,3}|`{1,3}|__)(?=\S)([^*`]{1,300}?)(?<=\S)\1")
_NO_TITLE = ("|", "- ", "* ", ">", "```", "#")
_RST = re.compile(
    rf"^ ?(?P<title>\S[^\n]{{0,{_LONGEST}}})\n(?P<under>(?P<sign>[=\-~^\"'`#*+.:_])(?P=sign){{2,}})$", re.M
)
_RST_ROLE = re.compile(r":[a-zA-Z:+-]{1,40}:`([^`<]{1,200}?)(?:\s*<[^`]{0,200}>)?`")
_RST_CODE = re.compile(r"^(?P<indent>[ ]*+)(?:[^\n]*::|\.\. (?:code|code-block|sourcecode)::[^\n]*)\n", re.M)


def with_markup(text: str, structure: Structure, kind: Kind) -> Structure:
    """Return a structure with the headings and blocks that the text's own markup shows.

    Args:
        text: The cleansed text, without marks.
        structure: What its reader has marked.
        kind: How it is marked up; others than Markdown and reStructuredText add nothing.
    """
    if kind is Kind.MARKDOWN:
        headings, blocks = _markdown(text)
    elif kind is Kind.RST:
        headings, blocks = _rst(text)
    else:
        return structure
    return replace(
        structure,
        headings=structure.headings or tuple(headings),
        blocks=structure.blocks or tuple(blocks),
    )


def _markdown(text: str) -> tuple[list[Heading], list[tuple[int, int]]]:
    headings: list[Heading] = []
    blocks: list[tuple[int, int]] = []
    front = _FRONT_MATTER.match(text)
    place = front.end() if front is not None else 0
    while (found := _MARKDOWN.search(text, place)) is not None:
        start, place = found.start(), found.end()
        if found["fence"] is not None:
            place = _fence_end(text, place, found["sign"])
            blocks.append((start, place))
        elif found["row"] is not None:
            place = _table_end(text, start)
            if text.count("\n", start, place):
                blocks.append((start, place))
        elif found["level"] is not None:
            headings.append(Heading(start, len(found["level"]), _plain(found["title"]), place))
        elif not found["under"].startswith(_NO_TITLE):
            headings.append(Heading(start, 1 if found["line"][0] == "=" else 2, _plain(found["under"]), place))
        else:
            place = found.start("line")
    return [heading for heading in headings if heading.title], blocks


def _fence_end(text: str, place: int, sign: str) -> int:
    """Return where a fenced block ends: with a fence at least as long as its first one, or with the text."""
    closing = "\n" + sign
    while (found := text.find(closing, place)) >= 0:
        end = text.find("\n", found + 1)
        end = end if end >= 0 else len(text)
        if not text[found + 1 : end].strip(sign[0] + " \t"):
            return end
        place = end
    return len(text)


def _table_end(text: str, place: int) -> int:
    """Return the end of the last of the lines that begin with a bar."""
    while True:
        end = text.find("\n", place)
        if end < 0:
            return len(text)
        if not text[end + 1 : end + 200].lstrip(" \t").startswith("|"):
            return end
        place = end + 1


def _plain(title: str) -> str:
    title = _LINK.sub(r"\1", title.strip().rstrip("#").rstrip())
    for _ in range(2):
        title = _EMPHASIS.sub(r"\2", title)
    return title.strip()


def _rst(text: str) -> tuple[list[Heading], list[tuple[int, int]]]:
    headings: list[Heading] = []
    levels: dict[str, int] = {}
    for found in _RST.finditer(text):
        title, under = found["title"], found["under"]
        if len(under) < len(title) or not title.strip(under[0]):
            continue
        line = text.rfind("\n", 0, max(0, found.start() - 1)) + 1
        over = found.start() > 0 and text[line : found.start() - 1].rstrip() == under
        if title[0] in "|+" or (found.group()[0] == " " and not over):
            continue
        # The order in which the signs first appear says how deep each is.
        level = levels.setdefault(f"{under[0]}{'over' if over else ''}", len(levels) + 1)
        shown = _RST_ROLE.sub(r"\1", title).replace("``", "").replace("*", "").strip("` ")
        if shown:
            headings.append(Heading(line if over else found.start(), level, shown, found.end()))
    return headings, _rst_code(text)


def _rst_code(text: str) -> list[tuple[int, int]]:
    """Return the literal blocks: what is indented deeper below a line that ends with two colons."""
    blocks: list[tuple[int, int]] = []
    place = 0
    while (found := _RST_CODE.search(text, place)) is not None:
        place = end = found.end()
        indent = len(found["indent"]) + 1
        while end < len(text):
            stop = text.find("\n", end)
            stop = stop if stop >= 0 else len(text)
            if stop > end and text[end : end + indent].strip(" "):
                break
            if stop > end:
                place = stop
            end = stop + 1
        if place > found.end():
            blocks.append((found.start(), place))
    return blocks

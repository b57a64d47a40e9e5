"""Titles of plain-text documents, found by the conventions of their markup."""

from __future__ import annotations

import re

from tenire.documents.formats import Kind

__all__ = ["title_of"]

_HEAD = 8192
_FENCE = re.compile(r"^(`{3}|~{3}).*?^\1", re.M | re.S)
_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n(?:---|\.\.\.)\n", re.S)
_FRONT_TITLE = re.compile(r"^title:[ \t]*[\"']?(.{1,300}?)[\"']?[ \t]*$", re.M)
_ATX = re.compile(r"^ {0,3}#{1,6}[ \t]+(.{1,300}?)[ \t]*#*$", re.M)
_SETEXT = re.compile(r"^ {0,3}(\S.{0,300})\n {0,3}(?:={2,}|-{2,})$", re.M)
# A reStructuredText title: a line, underlined by at least as many of one sign.
_RST = re.compile(r"^(\S.{0,300})\n([=\-~^\"'`#*+.:_])\2{2,}$", re.M)
_RST_ROLE = re.compile(r":[a-zA-Z:+-]{1,40}:`([^`<]{1,200}?)(?:\s*<[^`]{0,200}>)?`")


def title_of(text: str, kind: Kind) -> str:
    """Return a document's title, or an empty string if it does not name one.

    Args:
        text: The cleansed text; only its first 8 KiB are looked at.
        kind: How it is marked up. Plain text and code have no titles.
    """
    head = text[:_HEAD]
    if kind is Kind.MARKDOWN:
        front = _FRONT_MATTER.match(head)
        if front is not None:
            named = _FRONT_TITLE.search(front.group(1))
            if named is not None:
                return named.group(1).strip()
            head = head[front.end() :]
        head = _FENCE.sub("", head)
        found = [match for match in (_ATX.search(head), _SETEXT.search(head)) if match is not None]
        return min(found, key=lambda match: match.start()).group(1).strip() if found else ""
    if kind is Kind.RST:
        for match in _RST.finditer(head):
            if len(match.group(0)) - len(match.group(1)) - 1 >= len(match.group(1)):
                title = _RST_ROLE.sub(r"\1", match.group(1))
                return title.replace("`", "").replace("*", "").strip()
    return ""

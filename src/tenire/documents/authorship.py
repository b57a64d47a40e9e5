"""Who wrote a plain text, and when, by the conventions of its markup.

HTML says it in ``<meta>``, Markdown in its front matter, reStructuredText in the fields
under its title. Only the beginning of a text is looked at, and a date that is none that
can be compared is left out.
"""

from __future__ import annotations

import html
import re

from tenire.documents.formats import Kind

__all__ = ["authorship", "iso_date"]

_HEAD = 16_384
_LONGEST = 1000

_META = re.compile(r"<meta\b([^<>]{1,2000})>", re.I)
_ATTRIBUTE = re.compile(
    r"""\b(name|property|itemprop|content)\s*=\s*(?:"([^"]{0,1000})"|'([^']{0,1000})'|([^\s"'>]{1,300}))""", re.I
)
_AUTHORS = ("author", "article:author", "dc.creator", "dcterms.creator", "citation_author")
# Best first: when it was written, then when it was changed.
_DATES = (
    "date", "article:published_time", "dc.date", "dcterms.date", "dcterms.created", "citation_publication_date",
    "datepublished", "article:modified_time", "dcterms.modified", "datemodified", "last-modified", "revised",
)  # fmt: skip

_FRONT_MATTER = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.{0,8000}?)\n(?:---|\.\.\.)[ \t]*\r?(?:\n|\Z)", re.S)
_FIELD = re.compile(r"^(author|authors|date):[ \t]*([^\r\n]{0,1000})", re.M | re.I)
_ITEM = re.compile(r"^[ \t]*-[ \t]+(?:name:[ \t]*)?([^\r\n]{1,300})", re.M)
_DOCINFO = re.compile(r"^:(author|authors|date):[ \t]+(\S[^\r\n]{0,1000})", re.M | re.I)

_DATE = re.compile(r"(?!0000)\d{4}(?:-\d\d(?:-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?\S{0,12})?)?)?")
_DAY = re.compile(r"(\d{4})[/.](\d\d?)[/.](\d\d?)\b")


def authorship(text: str, kind: Kind) -> tuple[str, str]:
    """Return (author, date) as a text names them, or empty strings.

    Args:
        text: The text as it was decoded; of a page, its source.
        kind: How it is marked up. Plain text and code name neither.
    """
    head = text[:_HEAD]
    if kind is Kind.HTML:
        return _of_page(head)
    if kind is Kind.MARKDOWN:
        front = _FRONT_MATTER.match(head)
        return _of_fields(front[1], _FIELD) if front is not None else ("", "")
    return _of_fields(head, _DOCINFO) if kind is Kind.RST else ("", "")


def iso_date(written: str) -> str:
    """Return a date in the form that can be compared, as precise as it was written, or an empty string."""
    written = written.strip()
    day = _DAY.match(written)
    if day is not None:
        written = f"{day[1]}-{int(day[2]):02}-{int(day[3]):02}"
    found = _DATE.match(written)
    return found.group().replace(" ", "T") if found is not None else ""


def _of_page(head: str) -> tuple[str, str]:
    named: dict[str, str] = {}
    for tag in _META.finditer(head):
        attributes = {name.lower(): a or b or c for name, a, b, c in _ATTRIBUTE.findall(tag[1])}
        name = attributes.get("name") or attributes.get("property") or attributes.get("itemprop") or ""
        content = _words(html.unescape(attributes.get("content", "")))
        if content:
            named.setdefault(name.lower(), content)
    author = next((named[name] for name in _AUTHORS if name in named), "")
    dates = (iso_date(named[name]) for name in _DATES if name in named)
    return author, next(filter(None, dates), "")


def _of_fields(text: str, pattern: re.Pattern[str]) -> tuple[str, str]:
    author = date = ""
    for field in pattern.finditer(text):
        name, value = field[1].lower(), _words(field[2]).strip("\"'")
        if name == "date":
            date = date or iso_date(value)
        elif not author:
            author = value.strip("[]").replace('"', "") if value else _listed(text[field.end() :])
    return author, date


def _listed(following: str) -> str:
    """Return the items of a YAML list that begins on the next line."""
    names = []
    for line in following.lstrip("\r").split("\n")[1:20]:
        item = _ITEM.match(line)
        if item is None:
            break
        names.append(_words(item[1]).strip("\"'"))
    return ", ".join(names)


def _words(text: str) -> str:
    return " ".join(text.split())[:_LONGEST]

"""Plain text of all kinds: text, Markdown, reStructuredText, HTML, source code."""

from __future__ import annotations

from tenire.documents.authorship import authorship
from tenire.documents.encoding import decode
from tenire.documents.formats import Kind, kind_of
from tenire.documents.readers.reading import Raw, Reading
from tenire.documents.structure import with_pages, without_marks
from tenire.protocols import About

__all__ = ["read"]

_HEAD = 4096


def read(raw: Raw) -> Reading:
    """Decode a text, and extract it from its page if it is HTML.

    Raises:
        DocumentError: If it is no text.
        MissingExtraError: If a parser that is needed is not installed.
    """
    kind = kind_of(raw.name, raw.data[:_HEAD])
    declares = kind is Kind.HTML or raw.data[:64].lstrip().startswith(b"<?xml")
    text = decode(raw.data, source=raw.source, declares=declares)
    author, date = authorship(text, kind)
    about = About(kind.value, author=author, date=date)
    if kind is Kind.HTML:
        from tenire.documents.html import extract

        title, text = extract(text)
        return Reading(text, kind, title, about)
    text = without_marks(text)
    # In source code a form feed parts nothing that anybody counts.
    return Reading(text if kind is Kind.CODE else with_pages(text), kind, "", about, lines=True)

"""OpenDocument presentations, which kreuzberg does not read: their slides are pages."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
import zipfile
from typing import TYPE_CHECKING

from tenire.documents.authorship import iso_date
from tenire.documents.formats import Kind
from tenire.documents.readers import archived
from tenire.documents.readers.reading import Raw, Reading, damaged, too_long
from tenire.documents.structure import page_mark, without_marks
from tenire.protocols import About

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["read"]

_WHAT = "an OpenDocument presentation"
_URN = "{urn:oasis:names:tc:opendocument:xmlns:"
_PAGE = f"{_URN}drawing:1.0}}page"
_NOTES = f"{_URN}presentation:1.0}}notes"
_LINES = (f"{_URN}text:1.0}}p", f"{_URN}text:1.0}}h")
_SIGNS = {f"{_URN}text:1.0}}tab": "\t", f"{_URN}text:1.0}}line-break": "\n", f"{_URN}text:1.0}}s": " "}
_FACTS = (("title",), ("initial-creator", "creator"), ("creation-date", "date"))


def read(raw: Raw) -> Reading:
    """Read the text of each slide, and what its speaker notes say.

    Raises:
        DocumentError: If it is damaged, encrypted or expands without end.
    """
    archived.check(raw, _WHAT, needs="content.xml")
    try:
        with zipfile.ZipFile(io.BytesIO(raw.data)) as archive:
            content = ET.fromstring(archive.read("content.xml"))
            meta = ET.fromstring(archive.read("meta.xml")) if "meta.xml" in archive.NameToInfo else None
    except ET.ParseError as error:
        raise damaged(raw, _WHAT, error) from error
    slides = [without_marks("\n\n".join(filter(None, _texts(page)))) for page in content.iter(_PAGE)]
    text = "\n\n".join(page_mark(number) + slide for number, slide in enumerate(slides, 1))
    if len(text) > raw.max_text:
        raise too_long(raw)
    title, author, date = _facts(meta)
    return Reading(text, Kind.TEXT, title, About("odp", author=author, date=iso_date(date), pages=len(slides)))


def _texts(page: ET.Element) -> Iterator[str]:
    """Yield the paragraphs of a slide, its notes last; a list has paragraphs, and those have none inside."""
    # A stack of its own: what is nested without end must not end this process.
    waiting: list[ET.Element] = [page]
    notes: list[ET.Element] = []
    while waiting:
        element = waiting.pop()
        if element.tag == _NOTES:
            notes.append(element)
        elif element.tag in _LINES:
            yield _line(element)
        else:
            waiting += reversed(element)
    for element in notes:
        yield from (_line(each) for each in element.iter() if each.tag in _LINES)


def _line(paragraph: ET.Element) -> str:
    """Return the text of a paragraph, and of what is inside of it."""
    pieces = [paragraph.text or ""]
    waiting: list[ET.Element | str] = list(reversed(paragraph))
    while waiting:
        element = waiting.pop()
        if isinstance(element, str):
            pieces.append(element)
            continue
        pieces += _SIGNS.get(element.tag, ""), element.text or ""
        waiting.append(element.tail or "")
        waiting += reversed(element)
    return "".join(pieces).strip()


def _facts(meta: ET.Element | None) -> list[str]:
    found: dict[str, str] = {}
    for element in meta.iter() if meta is not None else ():
        name = element.tag.rpartition("}")[2]
        if element.text and element.text.strip():
            found.setdefault(name, " ".join(element.text.split())[:1000])
    return [next((found[name] for name in names if name in found), "") for names in _FACTS]

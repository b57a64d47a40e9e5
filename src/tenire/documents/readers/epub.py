"""EPUB: its chapters in reading order, each a page of HTML."""

from __future__ import annotations

import io
import posixpath
import zipfile
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote
from xml.etree import ElementTree as ET

from tenire.documents.encoding import decode
from tenire.documents.formats import Kind
from tenire.documents.html import extract
from tenire.documents.readers import archived
from tenire.documents.readers.reading import Raw, Reading, damaged, too_long
from tenire.errors import DocumentError
from tenire.protocols import About

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["read"]

_PAGES = (".xhtml", ".html", ".htm", ".xml")
_WHAT = "an EPUB"


def read(raw: Raw) -> Reading:
    """Read a book.

    Raises:
        DocumentError: If it is damaged, encrypted or expands without end.
        MissingExtraError: If a parser that is needed is not installed.
    """
    archived.check(raw, _WHAT)
    with zipfile.ZipFile(io.BytesIO(raw.data)) as book:
        names = {info.filename for info in book.infolist()}
        if "META-INF/encryption.xml" in names and "META-INF/rights.xml" in names:
            message = "a book without copy protection was expected, this one is protected"
            raise DocumentError(
                message, source=raw.source, stage="read", hint="get it without protection, or leave it out"
            )
        try:
            package_name = _package_name(book)
            package = ET.fromstring(_bounded(book, package_name, raw))
        except (ET.ParseError, KeyError, zipfile.BadZipFile) as error:
            raise damaged(raw, _WHAT, error) from error
        chapters = []
        # A chapter comes once, by however many names the package calls it.
        for name in dict.fromkeys(_reading_order(package, posixpath.dirname(package_name))):
            if name in names:
                page = decode(book.read(name), source=raw.source, declares=True)
                chapters.append(extract(page)[1])
        facts = {
            name: _fact(package, name) for name in ("title", "creator", "date", "language", "publisher", "subject")
        }
    extra = tuple((name, facts[name]) for name in ("publisher", "subject") if facts[name])
    about = About("epub", author=facts["creator"], date=facts["date"], extra=extra)
    return Reading("\n\n".join(filter(None, chapters)), Kind.HTML, facts["title"], about)


def _bounded(book: zipfile.ZipFile, name: str, raw: Raw) -> bytes:
    """Return a part that may be called anything, so that ``archived.check`` did not count it."""
    with book.open(name) as stream:
        data = stream.read(raw.max_text + 1)
    if len(data) > raw.max_text:
        raise too_long(raw)
    return data


def _package_name(book: zipfile.ZipFile) -> str:
    container = ET.fromstring(book.read("META-INF/container.xml"))
    for element in container.iter():
        if _local(element) == "rootfile" and "full-path" in element.attrib:
            return element.attrib["full-path"]
    raise KeyError("META-INF/container.xml names no package")


def _reading_order(package: Any, folder: str) -> Iterator[str]:
    items = {}
    order = []
    for element in package.iter():
        if _local(element) == "item":
            items[element.get("id")] = element.get("href", "")
        elif _local(element) == "itemref":
            order.append(element.get("idref"))
    for number in dict.fromkeys(order):
        href = unquote(items.get(number, ""))
        if href.lower().endswith(_PAGES):
            yield posixpath.normpath(posixpath.join(folder, href))


def _fact(package: Any, name: str) -> str:
    found = [element.text for element in package.iter() if _local(element) == name and element.text]
    joined = ", ".join(found) if name in ("creator", "subject") else "".join(found[:1])
    return " ".join(joined.split())[:1000]


def _local(element: Any) -> str:
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""

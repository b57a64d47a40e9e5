"""Office documents: Word, PowerPoint, Excel, OpenDocument, RTF. All become Markdown."""

from __future__ import annotations

import dataclasses

from tenire.documents.formats import Kind
from tenire.documents.readers import archived, kreuzberg
from tenire.documents.readers.reading import Raw, Reading
from tenire.documents.structure import page_mark

__all__ = ["read_docx", "read_ods", "read_odt", "read_pptx", "read_rtf", "read_xlsx"]

_OOXML = "application/vnd.openxmlformats-officedocument."
_ODF = "application/vnd.oasis.opendocument."


def read_docx(raw: Raw) -> Reading:
    """Read a Word document.

    Raises:
        DocumentError: If it is damaged, encrypted or expands without end.
        MissingExtraError: If kreuzberg is not installed.
    """
    what = "a Word document"
    archived.check(raw, what)
    found = _read(
        dataclasses.replace(raw, data=archived.mended(raw.data)), "docx", f"{_OOXML}wordprocessingml.document", what
    )
    return dataclasses.replace(found, text=archived.restored(found.text), title=archived.restored(found.title))


def read_pptx(raw: Raw) -> Reading:
    """Read a PowerPoint presentation; its slides are its pages. Raises as ``read_docx``."""
    return _archived(raw, "pptx", f"{_OOXML}presentationml.presentation", "a PowerPoint presentation")


def read_xlsx(raw: Raw) -> Reading:
    """Read an Excel workbook; each sheet is a table under its name. Raises as ``read_docx``."""
    return _archived(raw, "xlsx", f"{_OOXML}spreadsheetml.sheet", "an Excel workbook")


def read_odt(raw: Raw) -> Reading:
    """Read an OpenDocument text. Raises as ``read_docx``."""
    return _archived(raw, "odt", f"{_ODF}text", "an OpenDocument text", needs="content.xml")


def read_ods(raw: Raw) -> Reading:
    """Read an OpenDocument spreadsheet. Raises as ``read_docx``."""
    return _archived(raw, "ods", f"{_ODF}spreadsheet", "an OpenDocument spreadsheet", needs="content.xml")


def read_rtf(raw: Raw) -> Reading:
    """Read rich text. Raises as ``read_docx``."""
    return _read(raw, "rtf", "application/rtf", "an RTF document")


def _archived(raw: Raw, kind: str, mimetype: str, what: str, *, needs: str = "") -> Reading:
    archived.check(raw, what, needs=needs)
    return _read(raw, kind, mimetype, what)


def _read(raw: Raw, kind: str, mimetype: str, what: str) -> Reading:
    slides = kind == "pptx"
    mark = page_mark(0).replace("0", "{page_num}") if slides else ""
    found = kreuzberg.extract(raw, mimetype, what, page_marks=mark)
    pages = found.metadata.get("page_count") or 0
    counted = found.metadata.get("pages")
    if slides and isinstance(counted, dict):
        pages = counted.get("total_count") or 0
    about = kreuzberg.about_of(kind, found.metadata, pages=pages if isinstance(pages, int) else 0)
    return Reading(kreuzberg.unescaped(found.content), Kind.MARKDOWN, kreuzberg.title_of(found.metadata), about)

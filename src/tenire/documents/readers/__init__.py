"""One reader a format: bytes in, text and what the document says about itself out.

A reader is a function ``read(raw) -> Reading``. It is imported when its format
appears. It may raise anything for a bad document; a ``DocumentError`` says it best.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from tenire.documents.recognition import Format

if TYPE_CHECKING:
    from tenire.documents.readers.reading import Raw, Reading

__all__ = ["READERS", "read"]


class _Reader(Protocol):
    def __call__(self, raw: Raw) -> Reading: ...


READERS: dict[Format, str] = {
    Format.PLAIN: "tenire.documents.readers.plain:read",
    Format.JSON: "tenire.documents.readers.json:read",
    Format.JSONL: "tenire.documents.readers.jsonl:read",
    Format.CSV: "tenire.documents.readers.csv:read",
    Format.PARQUET: "tenire.documents.readers.parquet:read",
    Format.NOTEBOOK: "tenire.documents.readers.notebook:read",
    Format.EMAIL: "tenire.documents.readers.email:read",
    Format.EPUB: "tenire.documents.readers.epub:read",
    Format.PDF: "tenire.documents.readers.pdf:read",
    Format.DOCX: "tenire.documents.readers.office:read_docx",
    Format.PPTX: "tenire.documents.readers.office:read_pptx",
    Format.XLSX: "tenire.documents.readers.office:read_xlsx",
    Format.ODT: "tenire.documents.readers.office:read_odt",
    Format.ODS: "tenire.documents.readers.office:read_ods",
    Format.ODP: "tenire.documents.readers.odp:read",
    Format.RTF: "tenire.documents.readers.office:read_rtf",
}
"""Where the reader of each format is: ``module:function``."""


def read(form: Format, raw: Raw) -> Reading:
    """Read a document.

    Args:
        form: Its format; one that has a reader.
        raw: The document.

    Raises:
        DocumentError: If it cannot be used.
        MissingExtraError: If a parser that is needed is not installed.
    """
    module, _, function = READERS[form].partition(":")
    return cast("_Reader", getattr(import_module(module), function))(raw)

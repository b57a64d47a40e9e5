"""Which reader a file needs: its content first, then its name.

1. Content that begins like a format is that format, whatever its name says.
2. Formats that are text (JSON, CSV, mail, …) go by their name, since most of them
   begin like anything.
3. A name that says nothing is looked at: mail, mailboxes and JSON are found so.
4. What has the name of a format that is not text, and not its content, is read as
   text if it is text (many ``.xls`` are tables in HTML), and refused otherwise.
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from enum import StrEnum
from typing import TYPE_CHECKING

from tenire.documents.formats import binary_format, names_text, unsupported_format
from tenire.errors import DocumentError

if TYPE_CHECKING:
    from typing import BinaryIO

__all__ = ["BROKEN_ZIP", "COMPRESSED", "CONTAINERS", "HEAD", "TABLES", "Format", "recognise", "zip_format"]

HEAD = 4096
"""Bytes from its beginning that are enough to recognise a file, but for what is inside a ZIP archive."""


class Format(StrEnum):
    """How a file is read. Text, Markdown, reStructuredText, HTML and code are all plain."""

    PLAIN = "text"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"
    NOTEBOOK = "notebook"
    EMAIL = "email"
    PDF = "pdf"
    DOCX = "docx"
    PPTX = "pptx"
    XLSX = "xlsx"
    ODT = "odt"
    ODS = "ods"
    ODP = "odp"
    RTF = "rtf"
    EPUB = "epub"
    MBOX = "mbox"
    ZIP = "zip"
    TAR = "tar"
    GZIP = "gzip"
    BZIP2 = "bzip2"
    XZ = "xz"
    ZSTD = "zstandard"


CONTAINERS = frozenset({Format.ZIP, Format.TAR, Format.MBOX})
"""Formats whose members are documents of their own."""

TABLES = frozenset({Format.CSV, Format.JSONL})
"""Formats of rows: one that is too large to be held is a container, whose members are parts of it."""

COMPRESSED = frozenset({Format.GZIP, Format.BZIP2, Format.XZ, Format.ZSTD})
"""Formats that hold one file, compressed."""

_SUFFIXES = {
    Format.JSON: "json geojson",
    Format.JSONL: "jsonl ndjson",
    Format.CSV: "csv tsv tab psv",
    Format.NOTEBOOK: "ipynb",
    Format.EMAIL: "eml mht mhtml",
    Format.MBOX: "mbox mbx",
    Format.PARQUET: "parquet pq",
    Format.PDF: "pdf",
    Format.DOCX: "docx docm dotx dotm",
    Format.PPTX: "pptx pptm ppsx ppsm potx",
    Format.XLSX: "xlsx xlsm xltx xltm",
    Format.ODT: "odt ott",
    Format.ODS: "ods ots",
    Format.ODP: "odp otp",
    Format.RTF: "rtf",
    Format.EPUB: "epub",
    Format.ZIP: "zip",
    Format.TAR: "tar tgz tbz tbz2 txz tzst",
    Format.GZIP: "gz gzip",
    Format.BZIP2: "bz2",
    Format.XZ: "xz lzma",
    Format.ZSTD: "zst zstd",
}
_BY_SUFFIX = {suffix: form for form, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}
_TEXTUAL = frozenset({Format.JSON, Format.JSONL, Format.CSV, Format.NOTEBOOK, Format.EMAIL, Format.MBOX})

_OFTEN_TEXT = frozenset({"doc", "xls"})  # tables in HTML, letters in RTF, and text of the time before Word

_MIMETYPES = {
    b"application/epub+zip": Format.EPUB,
    b"application/vnd.oasis.opendocument.text": Format.ODT,
    b"application/vnd.oasis.opendocument.spreadsheet": Format.ODS,
    b"application/vnd.oasis.opendocument.presentation": Format.ODP,
}
_PARTS = {"word/": Format.DOCX, "ppt/": Format.PPTX, "xl/": Format.XLSX}

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # what holds an Office document that is encrypted

BROKEN_ZIP = (
    zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError,
)  # fmt: skip
"""What the standard library raises for an archive that is damaged, encrypted, or of another kind."""

_PDF_BEGINS = 1024
"""Bytes in which a PDF has to begin; before that, there may be anything."""

_BZIP2 = re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")
_STRANGE = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_MBOX = re.compile(
    rb"From \S+ {1,3}[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d(?::\d\d)? .{0,12}\d{4}\r?\n[!-9;-~]{2,60}:"
)
_HEADER = re.compile(
    rb"(?im)^(?:from|to|date|subject|message-id|received|return-path|mime-version|delivered-to|reply-to|content-type):"
)
_HEADERS_ONLY = re.compile(rb"(?:[!-9;-~]{2,60}:[^\r\n]*(?:\r?\n[ \t][^\r\n]*)*\r?\n){3}")
_OBJECT = re.compile(rb"\s*(?:\{\s*\"|\[\s*\{\s*\")")


def recognise(name: str, head: bytes, *, source: str) -> Format:
    """Return how a file is to be read.

    Args:
        name: Its name, without directories.
        head: Its first bytes, ``HEAD`` or all there are.
        source: Its path, for the error.

    Returns:
        The format. For a ZIP archive ``ZIP``: ``zip_format`` says which of its relatives it is.

    Raises:
        DocumentError: Of stage ``validate``, if it is something that cannot be read.
    """
    found = _by_content(head)
    unsupported = unsupported_format(name)
    if found is Format.ZIP and unsupported is not None:
        raise _foreign("", name, source, holds_text=True)  # a relative whose members mean nothing by themselves
    if found is not None:
        return found
    foreign = binary_format(head)
    if foreign is not None and head.startswith(_OLE) and _BY_SUFFIX.get(_suffix(name)) in _PARTS.values():
        raise DocumentError(
            f"a {_suffix(name).upper()} file that can be read without a password was expected, this one is encrypted,"
            " or an Office file of before 2007 under a new name",
            source=source,
            stage="validate",
            hint="save it without a password, in an Office format of today, or leave it out",
        )
    if foreign is not None:
        raise _foreign(foreign[0], name, source, holds_text=foreign[1])
    named = _BY_SUFFIX.get(_suffix(name))
    if named in _TEXTUAL or (named is Format.PDF and b"%PDF-" in head[:_PDF_BEGINS]):
        return named
    if named is Format.TAR and _is_old_tar(head):
        return named
    if named is not None:
        if _STRANGE.search(head):
            message = f"expected {named.upper()} by its name, got something else by its content"
            raise DocumentError(message, source=source, stage="validate", hint="the file is damaged, or misnamed")
        return Format.PLAIN
    if unsupported is not None and head and (_suffix(name) not in _OFTEN_TEXT or _STRANGE.search(head)):
        raise _foreign("", name, source, holds_text=True)
    return Format.PLAIN if names_text(name) else _by_look(head)


def zip_format(stream: BinaryIO, name: str) -> Format:
    """Return which of its relatives a ZIP archive is: an Office document, an EPUB, or just an archive.

    Args:
        stream: The archive; its position is not kept.
        name: Its name, which counts where it is too damaged to be looked into.
    """
    named = _BY_SUFFIX.get(_suffix(name), Format.ZIP)
    stream.seek(0)
    head = stream.read(128)
    if head[30:38] == b"mimetype":
        for mimetype, form in _MIMETYPES.items():
            if head[38:].startswith(mimetype):
                return form
    if named in _PARTS.values():
        return named
    if b"[Content_Types].xml" not in head and named is Format.ZIP and _suffix(name) == "zip":
        return Format.ZIP
    try:
        stream.seek(0)
        with zipfile.ZipFile(stream) as archive:
            names = archive.namelist()[:1000]
    except BROKEN_ZIP:
        return named
    if "[Content_Types].xml" in names:
        for part, form in _PARTS.items():
            if any(entry.startswith(part) for entry in names):
                return form
    return named if named in _MIMETYPES.values() else Format.ZIP


def _by_content(head: bytes) -> Format | None:
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return Format.ZIP
    if head.startswith(b"\x1f\x8b\x08"):
        return Format.GZIP
    if _BZIP2.match(head):
        return Format.BZIP2
    if head.startswith(b"\xfd7zXZ\x00"):
        return Format.XZ
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return Format.ZSTD
    if head.startswith(b"PAR1") and _STRANGE.search(head, 0, 64):
        return Format.PARQUET
    if head.startswith(b"{\\rtf"):
        return Format.RTF
    if head[257:262] == b"ustar":
        return Format.TAR
    # A few bytes of something else may come before; a text that speaks of it begins otherwise.
    if head.startswith(b"%PDF-") or (b"\n%PDF-" in head[:_PDF_BEGINS] and _STRANGE.search(head)):
        return Format.PDF
    return None


def _is_old_tar(head: bytes) -> bool:
    """Whether it begins with a tar header of the time before they had a mark; its checksum tells."""
    import tarfile

    try:
        tarfile.TarInfo.frombuf(head[:512], "utf-8", "surrogateescape")
    except tarfile.TarError:
        return False
    return True


def _by_look(head: bytes) -> Format:
    if _MBOX.match(head):
        return Format.MBOX
    if _HEADERS_ONLY.match(head) and len(_HEADER.findall(head)) >= 3:
        return Format.EMAIL
    if _OBJECT.match(head):
        if b'"nbformat"' in head and b'"cells"' in head:
            return Format.NOTEBOOK
        first, _, rest = head.lstrip().partition(b"\n")
        return Format.JSONL if first.rstrip().endswith(b"}") and rest.lstrip().startswith(b"{") else Format.JSON
    return Format.PLAIN


def _suffix(name: str) -> str:
    stem, _, suffix = name.lower().rpartition(".")
    return suffix if stem else ""


def _foreign(found: str, name: str, source: str, *, holds_text: bool) -> DocumentError:
    if not holds_text:
        return DocumentError(f"expected text, got a {found} by its content", source=source, stage="validate")
    # The suffix is the better name where it has one: content says only "old Office document".
    what = unsupported_format(name) or found
    return DocumentError(
        f"{what} files are not supported by this version of Tenire",
        source=source,
        stage="validate",
        hint="convert the file to text, PDF, HTML or an Office format of today",
    )

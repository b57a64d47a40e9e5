"""Documents that are ZIP archives inside: their bounds, and their parts mended for the parser.

An Office document of 40 KB can hold parts of gigabytes. So every part is expanded here
once, counted and thrown away, before a parser sees the file: what an archive says about
its sizes need not be true.
"""

from __future__ import annotations

import io
import re
import zipfile

from tenire.documents.readers.kreuzberg import locked
from tenire.documents.readers.reading import Raw, damaged, too_long
from tenire.documents.recognition import BROKEN_ZIP

__all__ = ["check", "mended", "restored"]

_PIECE = 1 << 20
_MOST_PARTS = 20_000
_MANIFEST, _ENCRYPTED = "META-INF/manifest.xml", b"encryption-data"
"""Where an OpenDocument says that its parts are encrypted."""
_PARSED = (".xml", ".rels", ".xhtml", ".html", ".htm", ".opf", ".ncx")

# kreuzberg 4.10 drops character references from the text of Word documents: "R&amp;D"
# came out as "RD", "caf&#233;" as "caf". So they travel as private characters, or as
# themselves where that is safe in XML.
_REFERENCE = re.compile(rb"&(?:(amp|lt|gt|quot|apos)|#(\d{1,7})|#x([0-9A-Fa-f]{1,6}));")
_NAMED = {b"amp": "\uf8f0", b"lt": "\uf8f1", b"gt": "\uf8f2", b"quot": "\uf8f3", b"apos": "\uf8f4"}
_BACK = str.maketrans({"\uf8f0": "&", "\uf8f1": "<", "\uf8f2": ">", "\uf8f3": '"', "\uf8f4": "'"})
_BY_CODE = {38: "\uf8f0", 60: "\uf8f1", 62: "\uf8f2", 34: "\uf8f3", 39: "\uf8f4"}
_SURROGATES = range(0xD800, 0xE000)
_LAST = 0x10FFFF


def check(raw: Raw, what: str, *, needs: str = "") -> None:
    """Refuse an archive whose parts expand beyond what a document may be, or that is damaged.

    Args:
        raw: The document.
        what: What it should be, with its article.
        needs: A part that it cannot be without.

    Raises:
        DocumentError: If it may not be parsed.
    """
    left = raw.max_text
    try:
        with zipfile.ZipFile(io.BytesIO(raw.data)) as archive:
            parts = archive.infolist()
            if len(parts) > _MOST_PARTS:
                raise damaged(raw, what, f"it has {len(parts)} parts")
            if _MANIFEST in archive.NameToInfo and _ENCRYPTED in _beginning(archive, _MANIFEST):
                raise locked(raw, what)
            if needs and needs not in archive.NameToInfo:
                raise damaged(raw, what, f"it has no {needs}")
            for part in parts:
                if part.flag_bits & 1:
                    raise locked(raw, what)
                with archive.open(part) as stream:
                    # Pictures and films are not parsed, so they may be as large as they like.
                    while part.filename.lower().endswith(_PARSED) and (piece := stream.read(_PIECE)):
                        left -= len(piece)
                        if left < 0:
                            raise too_long(raw)
    except BROKEN_ZIP as error:
        raise damaged(raw, what, error) from error


def _beginning(archive: zipfile.ZipFile, part: str) -> bytes:
    with archive.open(part) as stream:
        return stream.read(_PIECE)


def mended(data: bytes) -> bytes:
    """Return a Word document whose texts survive kreuzberg; ``restored`` makes them readable again."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as copy:
        for part in archive.infolist():
            if part.filename.endswith((".xml", ".rels")):
                content = archive.read(part)
                if part.filename.startswith("word/") and b"&" in content and not part.filename.endswith(".rels"):
                    content = _REFERENCE.sub(_travelling, content)
                copy.writestr(part.filename, content)
    return out.getvalue()


def restored(text: str) -> str:
    """Return a text with the signs that ``mended`` has hidden."""
    return text.translate(_BACK)


def _travelling(found: re.Match[bytes]) -> bytes:
    name, decimal, hexadecimal = found.groups()
    if name is not None:
        return _NAMED[name].encode()
    code = int(decimal) if decimal is not None else int(hexadecimal, 16)
    if code in _BY_CODE:
        return _BY_CODE[code].encode()
    if code < 32 or code in _SURROGATES or code > _LAST:
        return b" "
    return chr(code).encode()

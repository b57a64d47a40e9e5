"""From the bytes of one document to its passages: read, cleanse, clean, cut."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tenire.documents.chunking import cut
from tenire.documents.cleaning import clean
from tenire.documents.cleansing import cleanse, cleanse_lines
from tenire.documents.draft import Draft
from tenire.documents.formats import Kind
from tenire.documents.markup import title_of
from tenire.documents.readers import read
from tenire.documents.structure import plain
from tenire.protocols import Document

if TYPE_CHECKING:
    from tenire.documents.options import PrepareOptions
    from tenire.documents.readers.reading import Raw, Reading
    from tenire.documents.recognition import Format
    from tenire.protocols import SourceFile

__all__ = ["compose", "composed", "document_id"]


def compose(
    form: Format, raw: Raw, file: SourceFile, content_hash: str, options: PrepareOptions, recipe: str
) -> Document:
    """Return the document that these bytes are.

    Args:
        form: How they are read.
        raw: The bytes, expanded.
        file: Where they stand.
        content_hash: Hash of the bytes as they stand there.
        options: How to clean and cut.
        recipe: Identity of that.

    Raises:
        DocumentError: If it cannot be used.
        MissingExtraError: If a parser that is needed is not installed.
        ConfigError: If a function that a user named cannot be loaded.
    """
    return composed(read(form, raw), file, content_hash, options, recipe)


def composed(reading: Reading, file: SourceFile, content_hash: str, options: PrepareOptions, recipe: str) -> Document:
    """Return the document that was read; see ``compose``."""
    kind = reading.kind
    prose = kind is not Kind.CODE
    text, lines = cleanse_lines(reading.text, repair=prose)
    title = cleanse(plain(reading.title)) or title_of(plain(text), kind)
    unclean = Draft(file.path, file.size, title, text, reading.about)
    in_file = reading.rows.after(lines) if reading.rows is not None else lines if reading.lines else None
    cleaned = clean(unclean, options.cleaning, kind=kind, lines=in_file)
    draft = cleaned.draft
    return Document(
        id=document_id(recipe, f"{reading.about.kind} {kind.value}", content_hash),
        file=file,
        content_hash=content_hash,
        title=draft.title,
        text_bytes=len(draft.text) if draft.text.isascii() else len(draft.text.encode()),
        passages=cut(draft.text, cleaned.structure, kind=kind, cutting=options.cutting),
        about=draft.about,
        findings=cleaned.findings,
    )


def document_id(recipe: str, manner: str, content_hash: str) -> str:
    """Return the id of a document: what is read alike, and holds the same bytes, is the same.

    Args:
        recipe: Identity of what is done to documents.
        manner: How it was read.
        content_hash: Hash of its bytes.
    """
    return hashlib.blake2b(f"{recipe}\0{manner}\0{content_hash}".encode(), digest_size=16).hexdigest()

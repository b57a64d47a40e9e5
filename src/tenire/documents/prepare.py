"""From listed files to documents: what a worker process does with a batch.

``prepare`` never raises for a file: each one comes back as a ``Document``, a
``Rejection`` with its reason, or ``Unchanged``. Nothing is kept between calls
but the splitters.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tenire.documents.chunking import cut
from tenire.documents.cleaning import Cleaning, clean
from tenire.documents.cleansing import cleanse
from tenire.documents.draft import Draft
from tenire.documents.encoding import decode
from tenire.documents.formats import Kind, binary_format, kind_of, unsupported_format
from tenire.documents.markup import title_of
from tenire.documents.reading import read_file
from tenire.documents.structure import plain, without_marks
from tenire.errors import ConfigError, DocumentError
from tenire.protocols import About, Document, Rejection, SourceFile, Unchanged

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tenire.documents.reading import Content

__all__ = ["PREPARE_VERSION", "PrepareOptions", "Prepared", "Unchanged", "prepare", "recipe_identity"]

PREPARE_VERSION = 2
"""Raised whenever the same file would give other passages: every document is then done again."""

_HEAD = 4096


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """How files become passages.

    Attributes:
        max_file: Largest file that is read, bytes.
        max_passage: Most characters of a passage. 700 are about 175 tokens of
            English, and stay below the 256 that a small embedder takes in at once for
            code too; of 120 sentences from a manual, 95 were nearest to their own
            page by vector, with 1,000 characters 89.
        cleaning: What is done to a text before it is cut.
    """

    max_file: int = 64 << 20
    max_passage: int = 700
    cleaning: Cleaning = field(default_factory=Cleaning)


Prepared = Document | Rejection | Unchanged
"""What becomes of one file."""


def recipe_identity(options: PrepareOptions) -> str:
    """Return what a document depends on besides its content, as one string.

    ``max_file`` is left out: it decides whether a file is read, not what comes of it.

    Raises:
        ConfigError: If a function that is named cannot be loaded.
    """
    cleaning = options.cleaning.identity
    return f"documents/{PREPARE_VERSION} passage={options.max_passage}" + (f" {cleaning}" if cleaning else "")


def prepare(
    files: Sequence[SourceFile], options: PrepareOptions, known: Mapping[str, str] | None = None
) -> list[Prepared]:
    """Read, validate, cleanse and cut a batch of files.

    A file that is empty, or blank, or a page without text, is a ``Document``
    without passages: it was read completely and there is nothing wrong with it
    (``__init__.py`` is often empty), so it belongs to ``done``; in quarantine it
    would bring exit code 3 for files that nobody can repair.

    Args:
        files: The files as they were listed. What is read is what is there now,
            and the result carries the size and time of that.
        options: How to cut.
        known: Content hashes by path; a file whose bytes still have that hash
            comes back as ``Unchanged`` and is not parsed.

    Returns:
        One result a file, in the order of ``files``.

    Raises:
        MissingExtraError: If a parser that is needed is not installed; that
            concerns every file, so it is no quarantine.
    """
    recipe = recipe_identity(options)
    return [_prepare_one(file, options, recipe, (known or {}).get(file.path)) for file in files]


def _prepare_one(file: SourceFile, options: PrepareOptions, recipe: str, known: str | None) -> Prepared:
    content: Content | None = None
    try:
        content = read_file(file.path, max_file=options.max_file)
        if content.hash == known:
            return Unchanged(content.file, content.hash)
        return _parse(content, options, recipe)
    except DocumentError as error:
        reason = f"{error}; {error.hint}" if error.hint else str(error)
        return _rejection(file, content, error.stage, reason, error.rule)
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a parser makes of one bad file, the batch goes on
        kind = _kind(content).value if content is not None else "file"
        reason = f"the {kind} reader failed: {type(error).__name__}: {str(error)[:500]}"
        return _rejection(file, content, "cleanse", reason)


def _parse(content: Content, options: PrepareOptions, recipe: str) -> Document:
    _validate(content)
    kind = _kind(content)
    declares = kind is Kind.HTML or content.data[:64].lstrip().startswith(b"<?xml")
    text = decode(content.data, source=content.file.path, declares=declares)
    title = ""
    if kind is Kind.HTML:
        from tenire.documents.html import extract

        title, text = extract(text)
        title = cleanse(title)
    else:
        text = without_marks(text)
    text = cleanse(text, repair=kind is not Kind.CODE)
    title = title or title_of(plain(text), kind)
    draft = Draft(content.file.path, content.file.size, title, text, About(kind.value))
    cleaned = clean(draft, options.cleaning, prose=kind is not Kind.CODE)
    draft = cleaned.draft
    identity = f"{recipe}\0{kind.value}\0{content.hash}".encode()
    return Document(
        id=hashlib.blake2b(identity, digest_size=16).hexdigest(),
        file=content.file,
        content_hash=content.hash,
        title=draft.title,
        text_bytes=len(draft.text) if draft.text.isascii() else len(draft.text.encode()),
        passages=cut(draft.text, kind=kind, max_passage=options.max_passage),
        about=draft.about,
        findings=cleaned.findings,
    )


def _kind(content: Content) -> Kind:
    return kind_of(os.path.basename(content.file.path), content.data[:_HEAD])


def _validate(content: Content) -> None:
    """Refuse what is no plain text, by its name or its first bytes.

    Raises:
        DocumentError: Of stage ``validate``; names the format.
    """
    path = content.file.path
    found = binary_format(content.data[:_HEAD])
    if found is not None and not found[1]:
        raise DocumentError(f"expected text, got a {found[0]} by its content", source=path, stage="validate")
    name = unsupported_format(os.path.basename(path))
    if found is not None or name is not None:
        # The suffix is the better name: a Word file's content says only "ZIP".
        raise DocumentError(
            f"{name or (found and found[0])} files are not supported yet by this version of Tenire",
            source=path,
            stage="validate",
            hint="convert the file to text, Markdown or HTML",
        )


def _rejection(file: SourceFile, content: Content | None, stage: str, reason: str, rule: str = "") -> Rejection:
    if content is None:
        return Rejection(file, stage, reason, rule=rule)
    return Rejection(content.file, stage, reason, content.hash, rule)

"""From listed files to documents: what a worker process does with a batch.

``prepare`` never raises for a file: each one comes back as a ``Document``, a
``Rejection`` with its reason, or ``Unchanged``. Nothing is kept between calls
but the splitters.
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, BinaryIO

from tenire.documents.containers.bounds import Expansion
from tenire.documents.containers.opening import opened
from tenire.documents.items import prepare_item
from tenire.documents.options import PREPARE_VERSION, PrepareOptions, recipe_identity
from tenire.documents.reading import TooLargeError, open_large, read_file
from tenire.documents.recognition import CONTAINERS, TABLES
from tenire.documents.refusing import refused, usable
from tenire.documents.unpacking import SLICE, single, unpacked
from tenire.errors import DocumentError
from tenire.pipeline.item_source import ItemFile
from tenire.protocols import Document, Rejection, SourceFile, Unchanged, Unpacked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tenire.documents.containers.opening import Opened
    from tenire.documents.reading import Content

__all__ = ["PREPARE_VERSION", "PrepareOptions", "Prepared", "Unchanged", "prepare", "recipe_identity"]

Prepared = Document | Rejection | Unchanged | Unpacked
"""What becomes of one file."""

_SMALL_SLICE = 256 << 10


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
    if isinstance(file, ItemFile):
        return prepare_item(file, options, recipe)
    try:
        content = read_file(file.path, max_file=options.max_file, kept=file.kept)
    except TooLargeError as error:
        return _prepare_large(file, options, recipe, known, error)
    except DocumentError as error:
        return refused(file, error)
    if content.hash == known:
        return Unchanged(content.file, content.hash)
    found = usable(lambda: _opened(content, options), content.file, content.hash, reader="file")
    if isinstance(found, Rejection):
        return found
    (inside, expansion), name = found, os.path.basename(file.kept or file.path)
    if inside.form in TABLES and inside.packed:
        longer = _is_longer(inside.stream, options.max_file)
        inside, expansion = _opened(content, options)  # from its beginning
        if not longer:
            return single(content.data, name, content.file, content.hash, options, recipe, inside)
    elif inside.form not in CONTAINERS:
        return single(content.data, name, content.file, content.hash, options, recipe, inside)
    # The batch has room for about four times the bytes of its files.
    full = min(SLICE, max(_SMALL_SLICE, 4 * len(content.data)))
    return unpacked(inside, content.file, content.hash, expansion, options, recipe, full=full)


def _opened(content: Content, options: PrepareOptions) -> tuple[Opened, Expansion]:
    path = content.file.path
    stream, expansion = io.BytesIO(content.data), Expansion(path, len(content.data), options.max_expanded)
    name = os.path.basename(content.file.kept or content.file.path)
    return opened(stream, name, source=path, expansion=expansion, max_file=options.max_file), expansion


def _is_longer(stream: BinaryIO, most: int) -> bool:
    """Return whether a stream is longer than so many bytes; one that breaks before is not."""
    try:
        while most >= 0 and (part := stream.read(1 << 20)):
            most -= len(part)
    except DocumentError:
        return False
    return most < 0


def _prepare_large(
    file: SourceFile, options: PrepareOptions, recipe: str, known: str | None, error: TooLargeError
) -> Prepared:
    """Prepare a file that is not to be held in memory, if it is a container, or a table, which then is one."""
    try:
        large = open_large(file.path, file.kept)
        with large.stream as stream:
            path = file.path
            expansion = Expansion(path, large.file.size, options.max_expanded)
            name = os.path.basename(file.kept or file.path)
            found = opened(stream, name, source=path, expansion=expansion, max_file=options.max_file)
            if found.form not in CONTAINERS and found.form not in TABLES:
                return refused(file, error)
            hash_ = large.hash()
            if hash_ == known:
                return Unchanged(large.file, hash_)
            # Again from its beginning: the hash has read the stream to its end.
            expansion = Expansion(path, large.file.size, options.max_expanded)
            found = opened(stream, name, source=path, expansion=expansion, max_file=options.max_file)
            return unpacked(found, large.file, hash_, expansion, options, recipe)
    except Exception as failure:  # noqa: BLE001 - a container that cannot be opened is one bad file
        return refused(file, failure)

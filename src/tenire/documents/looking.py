"""What a file is, without parsing it: for one whose parser crashed or hung."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tenire.documents.composing import document_id
from tenire.documents.containers.bounds import Expansion
from tenire.documents.containers.leaves import Leaves
from tenire.documents.containers.opening import opened
from tenire.documents.options import recipe_identity
from tenire.documents.reading import open_large
from tenire.documents.recognition import CONTAINERS, HEAD, TABLES, Format
from tenire.documents.unpacking import member_file, reader_name
from tenire.errors import DocumentError
from tenire.pipeline.item_source import ItemFile
from tenire.protocols import About, Document, Look, SourceFile, Unpacked

if TYPE_CHECKING:
    from tenire.documents.containers.opening import Opened
    from tenire.documents.options import PrepareOptions

__all__ = ["look"]


def look(file: SourceFile, number: int | None, options: PrepareOptions) -> Look:
    """Say what a file is, or a member of it.

    Args:
        file: The file.
        number: The number of the member; ``None`` for the file itself.
        options: How to read; which name a document has depends on it.

    Returns:
        What it is. Where that cannot be found out, its reader is ``file``.
    """
    if isinstance(file, ItemFile):
        return Look(file.file, "row")
    try:
        large = open_large(file.path, file.kept)
        with large.stream as stream:
            expansion = Expansion(file.path, large.file.size, options.max_expanded)
            name = os.path.basename(file.kept or file.path)
            found = opened(stream, name, source=file.path, expansion=expansion, max_file=options.max_file)
            if number is not None:
                return _member(found, file, number, expansion, options)
            reader = _reader(found)
            is_large_table = found.form in TABLES and large.file.size > options.max_file
            if found.form not in CONTAINERS and not is_large_table:
                return Look(large.file, reader)
            hash_ = large.hash()
            itself = Document(
                id=document_id(recipe_identity(options), found.form.value, hash_), file=large.file, content_hash=hash_,
                title="", text_bytes=0, passages=(), about=About(found.form.value),
            )  # fmt: skip
            return Look(large.file, reader, Unpacked(itself, (), 0))
    except Exception:  # noqa: BLE001 - it is asked about files that are broken
        return Look(file, "file")


def _member(found: Opened, container: SourceFile, number: int, expansion: Expansion, options: PrepareOptions) -> Look:
    leaves = Leaves(expansion, max_file=options.max_file, start=number)
    for leaf in leaves.walk(found, container.path):
        file = member_file(leaf, container)
        try:
            import io

            inner = opened(
                io.BytesIO(leaf.data), leaf.name, source=file.path, expansion=expansion, max_file=options.max_file
            )
        except DocumentError:
            break
        return Look(file, _reader(inner))
    return Look(container, "file")


def _reader(found: Opened) -> str:
    if found.form is not Format.PLAIN:
        return found.form.value
    return reader_name(found.form, found.name, found.stream.read(HEAD))

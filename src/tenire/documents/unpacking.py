"""Containers: what comes of their members, a slice at a time.

A slice is what one task of a worker process reads. The next one begins where it ended,
and finds its place by passing the members before it by. So what is held at a time is
bounded by the slice, not by the container.
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from tenire.documents.composing import compose, document_id
from tenire.documents.containers.bounds import Expansion
from tenire.documents.containers.leaves import Leaves
from tenire.documents.containers.opening import opened, read_bounded
from tenire.documents.formats import kind_of
from tenire.documents.options import recipe_identity
from tenire.documents.readers.reading import Raw
from tenire.documents.reading import content_hash, open_large
from tenire.documents.recognition import CONTAINERS, HEAD, Format
from tenire.documents.refusing import refused, usable
from tenire.documents.row_lines import WHOLE, Part
from tenire.errors import DocumentError
from tenire.protocols import About, Document, Rejection, SourceFile, Unpacked

if TYPE_CHECKING:
    from tenire.documents.containers.leaves import Leaf
    from tenire.documents.containers.opening import Opened
    from tenire.documents.options import PrepareOptions

__all__ = ["SLICE", "member_file", "reader_name", "single", "unpack", "unpacked"]

SLICE = 8 << 20
"""Bytes of members that make a slice full."""

_MOST_IN_SLICE = 2048


def unpack(
    container: SourceFile,
    hash_: str,
    start: int,
    options: PrepareOptions,
    most: int = _MOST_IN_SLICE,
    expanded: int = 0,
) -> Unpacked:
    """Read the next slice of a container.

    Args:
        container: The file, as it was when it was opened first.
        hash_: Hash of its bytes.
        start: Number of the first member that is wanted.
        options: How to read, clean and cut.
        most: The most members that the slice may have.
        expanded: Bytes that came out of it before ``start``.

    Returns:
        What came of the members, and of the container itself: it is refused if it was
        changed meanwhile, or if what follows cannot be read.
    """
    recipe = recipe_identity(options)
    try:
        large = open_large(container.path, container.kept)
        with large.stream as stream:
            if large.file != container:
                return Unpacked(refused(container, _changed(container.path), hash_), ())
            expansion = Expansion(container.path, container.size, options.max_expanded)
            name = os.path.basename(container.kept or container.path)
            found = opened(stream, name, source=container.path, expansion=expansion, max_file=options.max_file)
            return unpacked(
                found,
                container,
                hash_,
                expansion,
                options,
                recipe,
                start=start,
                full=SLICE,
                most=most,
                expanded=expanded,
            )
    except Exception as error:  # noqa: BLE001 - a container that cannot be opened is one bad file
        return Unpacked(refused(container, error, hash_), ())


def unpacked(
    found: Opened, container: SourceFile, hash_: str, expansion: Expansion, options: PrepareOptions, recipe: str,
    *, start: int = 0, full: int = SLICE, most: int = _MOST_IN_SLICE, expanded: int = 0,
) -> Unpacked:  # fmt: skip
    """Read a slice of a container that is open; see ``unpack``.

    Args:
        found: The container, opened at its beginning.
        container: The file.
        hash_: Hash of its bytes.
        expansion: Where expanded bytes are counted.
        options: How to read, clean and cut.
        recipe: Identity of that.
        start: Number of the first member that is wanted.
        full: Bytes of members that make the slice full.
        most: The most members that it may have.
        expanded: Bytes that came out of it before ``start``.
    """
    members: list[Document | Rejection] = []
    following: int | None = None
    itself: Document | Rejection = Document(
        id=document_id(recipe, found.form.value, hash_), file=container, content_hash=hash_, title="", text_bytes=0,
        passages=(), about=About(found.form.value),
    )  # fmt: skip
    leaves = Leaves(expansion, max_file=options.max_file, start=start, expanded=expanded)
    size = 0
    try:
        for leaf in leaves.walk(found, container.path):
            members.append(_member(leaf, container, options, recipe))
            size += len(leaf.data)
            if size >= full or len(members) >= most:
                following = leaf.number + 1
                break
    except Exception as error:  # noqa: BLE001 - the same
        itself = refused(container, error, hash_, reader=found.form.value)
    return Unpacked(itself, tuple(members), following, expansion.total)


def _member(leaf: Leaf, container: SourceFile, options: PrepareOptions, recipe: str) -> Document | Rejection:
    file = member_file(leaf, container)
    # Equal rows on other lines are another part: hits name their lines.
    part = leaf.part
    told = f"{part.lines} {part.separator}\0".encode() if part != WHOLE else b""
    hash_ = content_hash(told + leaf.data) if leaf.error is None else ""
    if leaf.error is not None:
        return refused(file, leaf.error)
    return single(leaf.data, leaf.name, file, hash_, options, recipe, part=part)


def member_file(leaf: Leaf, container: SourceFile) -> SourceFile:
    """Return where a member stands."""
    return SourceFile(leaf.source, len(leaf.data), container.mtime_ns, container.path)


def single(
    data: bytes, name: str, file: SourceFile, hash_: str, options: PrepareOptions, recipe: str,
    found: Opened | None = None, part: Part = WHOLE,
) -> Document | Rejection:  # fmt: skip
    """Return the document that some bytes are, compressed or not.

    Args:
        data: The bytes as they stand there.
        name: Their name, without directories.
        file: Where they stand.
        hash_: Their hash.
        options: How to read, clean and cut.
        recipe: Identity of that.
        found: The same, opened, if that was done before.
        part: Of a part of a table, what it has from the whole.
    """
    if found is None:
        tried = usable(lambda: _opened(data, name, file, options), file, hash_, reader="file")
        if isinstance(tried, Rejection):
            return tried
        found = tried
    inside = found
    plain = usable(lambda: _expanded(data, inside, file, options), file, hash_, reader=inside.form.value)
    if isinstance(plain, Rejection):
        return plain
    raw = Raw(inside.name, file.path, plain, options.max_text, part)
    reader = reader_name(inside.form, inside.name, plain)
    return usable(lambda: compose(inside.form, raw, file, hash_, options, recipe), file, hash_, reader=reader)


def reader_name(form: Format, name: str, data: bytes) -> str:
    """Return what the reader of a document is called, for people."""
    return form.value if form is not Format.PLAIN else kind_of(name, data[:HEAD]).value


def _changed(path: str) -> DocumentError:
    message = "the file was changed while it was read"
    return DocumentError(message, source=path, stage="read", hint="the next run reads it again")


def _opened(data: bytes, name: str, file: SourceFile, options: PrepareOptions) -> Opened:
    expansion = Expansion(file.path, len(data), options.max_expanded)
    return opened(io.BytesIO(data), name, source=file.path, expansion=expansion, max_file=options.max_file)


def _expanded(data: bytes, inside: Opened, file: SourceFile, options: PrepareOptions) -> bytes:
    if inside.form in CONTAINERS:  # only one at the end of too many compressions gets here
        message = "a container is compressed too many times"
        raise DocumentError(message, source=file.path, stage="unpack", hint="unpack it yourself")
    return read_bounded(inside.stream, source=file.path, max_file=options.max_file) if inside.packed else data

"""A row as a document: one field is its text, some are known about it, and all others are kept as they are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from tenire.documents.composing import composed
from tenire.documents.readers import read
from tenire.documents.readers.reading import Raw
from tenire.documents.reading import content_hash
from tenire.documents.recognition import Format
from tenire.documents.refusing import usable
from tenire.errors import DocumentError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenire.documents.options import PrepareOptions
    from tenire.documents.readers.reading import Reading
    from tenire.pipeline.item_source import ItemFile
    from tenire.protocols import Document, Rejection

__all__ = ["FORMATS", "prepare_item"]

FORMATS = {"text": "txt", "markdown": "md", "html": "html", "rst": "rst"}
"""What the field ``format`` may say, and the suffix of files of that kind."""

_KNOWN = ("author", "date", "language")
_READ = frozenset(("id", "text", "title", "format", *_KNOWN))


def prepare_item(item: ItemFile, options: PrepareOptions, recipe: str) -> Document | Rejection:
    """Return the document that a row is.

    Args:
        item: The row.
        options: How to clean and cut.
        recipe: Identity of that.
    """
    file, hash_ = item.file, content_hash(item.record)

    def made() -> Document:
        return composed(_reading(item, options), file, hash_, options, recipe)

    return usable(made, file, hash_, reader="row")


def _reading(item: ItemFile, options: PrepareOptions) -> Reading:
    fields: Mapping[str, Any] = msgspec.json.decode(item.record)
    text = fields.get("text")
    if not isinstance(text, str):
        there = ", ".join(name for name in fields if name != "id") or "nothing"
        got = f"a {type(text).__name__}" if "text" in fields else f"none among: {there}"
        raise DocumentError(
            f"expected a field text with the document's text, got {got}",
            source=item.path,
            stage="read",
            hint="name it in the query: SELECT body AS text, …",
        )
    form = fields.get("format") or "text"
    if form not in FORMATS:
        raise DocumentError(
            f"expected one of {', '.join(FORMATS)} as format, got {form!r:.40}", source=item.path, stage="read"
        )
    reading = read(Format.PLAIN, Raw(f"row.{FORMATS[form]}", item.path, text.encode("utf-8", "replace")))
    known: dict[str, Any] = {name: _shown(fields[name]) for name in _KNOWN if fields.get(name)}
    extra = tuple((name, _shown(value)) for name, value in fields.items() if name not in _READ and value is not None)
    title = _shown(fields["title"]) if fields.get("title") else reading.title
    return replace(reading, title=title, about=replace(reading.about, **known, extra=extra), lines=False)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()

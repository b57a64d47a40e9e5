"""Making the text index agree with the table again.

Needed where a commit was cut off between the two, where the machine lost power,
or where ``text.db`` was deleted. The table is the truth.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from tenire.errors import StoreError
from tenire.vectors.text_index import Span
from tenire.vectors.text_rows import IndexedDocument

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tenire.vectors.lance_table import LanceTable
    from tenire.vectors.stored_texts import StoredTexts
    from tenire.vectors.text_index import TextIndex

__all__ = ["synchronise"]

# Documents in one transaction and in one question to the table.
_SLICE = 200


def synchronise(table: LanceTable, words: TextIndex, texts: StoredTexts) -> None:
    """Bring the text index to the table's version; costs a look at two numbers if it is there.

    May be cut off at any point, and may run while another process does the same.

    Args:
        table: The passages.
        words: The text index.
        texts: Restores texts.

    Raises:
        StoreError: If either cannot be read, or the index cannot be written.
    """
    version = table.version()
    if version == words.version:
        return
    stored, batches = _stored(table)
    known = words.spans()
    gone = [document for document, span in known.items() if stored.get(document) != span]
    lacking = sorted(span for document, span in stored.items() if known.get(document) != span)
    if gone:
        # Their batches are forgotten too, or a lost batch would count as applied; those that left
        # other rows are remembered again below.
        words.apply([], gone, batches=[], version=None, forget=True)
    for start in range(0, len(lacking), _SLICE):
        words.apply(list(_documents(table, texts, lacking[start : start + _SLICE])), [], batches=[], version=None)
    words.apply([], [], batches=batches, version=version)


def _stored(table: LanceTable) -> tuple[dict[str, Span], set[str]]:
    first: dict[str, int] = {}
    passages: dict[str, int] = {}
    batches: set[str] = set()
    for part in table.stream(["key", "document", "batch"]):
        batches.update(part.column("batch").unique().to_pylist())
        for key, document in zip(part.column("key").to_pylist(), part.column("document").to_pylist(), strict=True):
            first[document] = min(first.get(document, key), key)
            passages[document] = passages.get(document, 0) + 1
    return {document: Span(first[document], count) for document, count in passages.items()}, batches


def _documents(table: LanceTable, texts: StoredTexts, spans: list[Span]) -> Iterator[IndexedDocument]:
    rows = [row for part in table.scan_spans(["key", "document", "batch", "text_z"], spans) for row in part.to_pylist()]
    rows.sort(key=lambda row: row["key"])
    for document, group in groupby(rows, key=lambda row: row["document"]):
        members = list(group)
        yield IndexedDocument(
            id=document,
            first_key=members[0]["key"],
            texts=tuple(_text(texts, row["text_z"]) for row in members),
            stored_bytes=sum(len(row["text_z"]) for row in members),
            batch=members[0]["batch"],
        )


def _text(texts: StoredTexts, frame: bytes) -> str:
    try:
        return texts.decompress(frame)
    except (StoreError, UnicodeDecodeError):
        # A passage that cannot be read has no words; ``audit`` tells of it, and a repair drops its document.
        return ""

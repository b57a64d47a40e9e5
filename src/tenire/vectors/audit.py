"""A complete look at a store: every row is read, restored and compared."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from tenire.errors import StoreError, UnreadableStoreError
from tenire.protocols import StoreCheck
from tenire.storage.compression import utf8
from tenire.vectors.passage_rows import usable

if TYPE_CHECKING:
    from tenire.vectors.lance_table import LanceTable
    from tenire.vectors.stored_texts import StoredTexts
    from tenire.vectors.text_index import TextIndex

__all__ = ["audit"]

_MOST_DETAILS = 20
_COLUMNS = ["key", "document", "ordinal", "text_hash", "text_z"]
_NO_VECTOR = "its vector is missing, or holds what is no number"


def audit(table: LanceTable, words: TextIndex, texts: StoredTexts, dimension: int) -> StoreCheck:
    """Read everything and report what is there; changes nothing.

    Memory grows by some hundred bytes a passage; the texts themselves are read in
    pieces.

    Args:
        table: The passages.
        words: The text index.
        texts: Restores texts.
        dimension: Length of a vector.

    Returns:
        Passages per document; passages stored more than once (the same document
        and place, or the same key); differences between passages and text index
        in both directions, and all passages where the vector index cannot be searched;
        documents with a text or a vector that is not what was stored. Details name up to 20 of all these.

    Raises:
        UnreadableStoreError: If the passages cannot be read at all, or have vectors of another length.
        DamagedFileError: If the text index is damaged.
    """
    passages: dict[str, int] = {}
    places: set[tuple[str, int]] = set()
    keys: set[int] = set()
    damaged: set[str] = set()
    duplicates = 0
    details: list[str] = []
    for part in table.stream([*_COLUMNS, "vector"]):
        vectors = part.column("vector")
        if vectors.type.list_size != dimension:
            message = f"the store's vectors have {vectors.type.list_size} numbers, its embedder's have {dimension}"
            raise UnreadableStoreError(message, hint="run: tenire verify --repair, and then ingest again")
        for row, whole in zip(part.select(_COLUMNS).to_pylist(), usable(vectors), strict=True):
            key, document, ordinal = row["key"], row["document"], row["ordinal"]
            passages[document] = passages.get(document, 0) + 1
            if (document, ordinal) in places or key in keys:
                duplicates += 1
                details.append(f"passage {ordinal} of document {document} is stored more than once")
            places.add((document, ordinal))
            keys.add(key)
            damage = _damage(texts, row["text_z"], row["text_hash"]) or ("" if whole else _NO_VECTOR)
            if damage:
                damaged.add(document)
                details.append(f"passage {ordinal} of document {document}: {damage}")
    missing, excess = words.differences(keys)
    details += [f"the text index lacks passage {key}" for key in sorted(missing)]
    details += [f"the text index has passage {key}, which is not stored" for key in sorted(excess)]
    unindexed = len(missing) + len(excess)
    reason = table.index_damage()
    if reason:
        unindexed += len(keys)
        details.insert(0, f"the vector index cannot be searched: {reason}")
    if len(details) > _MOST_DETAILS:
        details[_MOST_DETAILS:] = [f"and {len(details) - _MOST_DETAILS} more"]
    return StoreCheck(passages, duplicates, unindexed, frozenset(damaged), tuple(details))


def _damage(texts: StoredTexts, frame: bytes, text_hash: bytes) -> str:
    try:
        text = texts.decompress(frame)
    except StoreError as error:
        return str(error)
    except UnicodeDecodeError as error:
        return f"its text is not UTF-8 ({error})"
    return "" if sha256(utf8(text)).digest() == text_hash else "its text is not the one that was stored"

"""What a commit writes of the documents that are new: rows of the table, and words of the index."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from tenire.storage.compression import utf8
from tenire.vectors.passage_rows import place_text
from tenire.vectors.text_rows import IndexedDocument

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    import numpy as np
    from numpy.typing import NDArray

    from tenire.protocols import Batch, Document
    from tenire.vectors.stored_texts import StoredTexts

__all__ = ["checked_vectors", "new_documents", "new_rows"]


def checked_vectors(batch: Batch, dimension: int, *, half: bool) -> NDArray[np.float32]:
    """Return the vectors of a batch, of shape ``(passages, dimension)``.

    Args:
        batch: The batch.
        dimension: Length of a vector.
        half: Whether they are stored with 16 bits a number.

    Raises:
        ValueError: If they do not fit the passages or the store.
    """
    import numpy as np

    passages = sum(len(document.passages) for document in batch.documents)
    expected = (passages, dimension)
    if batch.vectors is None:
        vectors = np.empty((0, dimension), np.float32)
    else:
        vectors = np.ascontiguousarray(batch.vectors, np.float32)
    if vectors.shape != expected:
        message = f"batch {batch.id} needs vectors of shape {expected}, got {vectors.shape}"
        raise ValueError(message)
    if not np.isfinite(vectors).all():
        message = f"batch {batch.id} holds a vector that is not finite"
        raise ValueError(message)
    if half and vectors.size and np.abs(vectors).max() > np.finfo(np.float16).max:
        message = f"batch {batch.id} holds a vector that is far longer than 1"
        raise ValueError(message)
    return vectors


def new_documents(documents: Iterable[Document], there: Container[str]) -> tuple[list[Document], list[int]]:
    """Return the documents to write, each once, and the places of their vectors in the batch.

    Args:
        documents: Those of a batch; one without passages is not written.
        there: Ids of those that the store has.
    """
    added: dict[str, Document] = {}
    rows: list[int] = []
    place = 0
    for document in documents:
        n = len(document.passages)
        if n and document.id not in there and document.id not in added:
            added[document.id] = document
            rows.extend(range(place, place + n))
        place += n
    return list(added.values()), rows


def new_rows(
    batch: str, added: list[Document], first_key: int, texts: StoredTexts
) -> tuple[dict[str, object], list[IndexedDocument]]:
    """Return all columns but ``vector`` of the rows of documents, and what the text index is given of them.

    Args:
        batch: Id of the batch.
        added: Documents that the store does not have.
        first_key: Key of the first row.
        texts: Compresses the texts.

    Raises:
        StoreError: If a new dictionary for the texts cannot be written.
    """
    pairs = [(document, passage) for document in added for passage in document.passages]
    frames = texts.compress(passage.text for _, passage in pairs)
    columns: dict[str, object] = {
        "key": range(first_key, first_key + len(pairs)),
        "document": [document.id for document, _ in pairs],
        "ordinal": [passage.ordinal for _, passage in pairs],
        "start": [passage.start for _, passage in pairs],
        "stop": [passage.end for _, passage in pairs],
        "batch": [batch] * len(pairs),
        "source": [utf8(document.file.path).decode("utf-8", "replace") for document, _ in pairs],
        "text_hash": [sha256(utf8(passage.text)).digest() for _, passage in pairs],
        "text_z": frames,
        "place": [place_text(passage.place) for _, passage in pairs],
    }
    indexed, place = [], 0
    for document in added:
        n = len(document.passages)
        stored = sum(map(len, frames[place : place + n]))
        words = tuple(passage.text for passage in document.passages)
        indexed.append(IndexedDocument(document.id, first_key + place, words, stored, batch))
        place += n
    return columns, indexed

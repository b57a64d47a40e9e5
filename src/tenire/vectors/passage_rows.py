"""A passage as a row of the table: its columns, and the way there and back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from tenire.protocols import Place

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = [
    "ADDED",
    "COLUMNS",
    "StoredPassage",
    "as_arrow",
    "as_rows",
    "as_vectors",
    "place_text",
    "read_place",
    "schema",
    "usable",
]

COLUMNS = ("key", "document", "ordinal", "start", "stop", "text_hash", "text_z")
ADDED = ("place",)
"""Columns that came later; a table of an older version gets them with its next commit."""

_NOWHERE = Place()
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class StoredPassage(NamedTuple):
    """One row of the table.

    Attributes:
        key: Its number in this store.
        document: Id of its document.
        ordinal: Its place in the document.
        start: Offset of its first character in the cleansed text.
        stop: Offset after its last character.
        text_hash: SHA-256 of its text in UTF-8.
        text_z: The text, one zstandard frame.
        place: Where it stands, for people.
        similarity: Cosine to the vector asked for, or 0.
    """

    key: int
    document: str
    ordinal: int
    start: int
    stop: int
    text_hash: bytes
    text_z: bytes
    place: Place = _NOWHERE
    similarity: float = 0.0


def schema(dimension: int, *, half: bool) -> pa.Schema:
    """Return the table's columns.

    Args:
        dimension: Length of a vector.
        half: Whether numbers of vectors have 16 bits instead of 32.
    """
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("key", pa.int64(), nullable=False),
            pa.field("document", pa.string(), nullable=False),
            pa.field("ordinal", pa.int32(), nullable=False),
            pa.field("start", pa.int64(), nullable=False),
            pa.field("stop", pa.int64(), nullable=False),
            pa.field("batch", pa.string(), nullable=False),
            pa.field("source", pa.string(), nullable=False),
            pa.field("text_hash", pa.binary(32), nullable=False),
            pa.field("text_z", pa.binary(), nullable=False),
            pa.field("vector", pa.list_(pa.float16() if half else pa.float32(), dimension), nullable=False),
            pa.field("place", pa.string()),
        ]
    )


def as_arrow(columns: dict[str, Any], dimension: int, *, half: bool) -> pa.Table:
    """Return rows as LanceDB takes them.

    Args:
        columns: One sequence a column; ``vector`` of shape ``(n, dimension)``.
        dimension: Length of a vector.
        half: As for ``schema``.
    """
    import numpy as np
    import pyarrow as pa

    fields = schema(dimension, half=half)
    arrays = {name: pa.array(columns[name], fields.field(name).type) for name in columns if name != "vector"}
    number = np.float16 if half else np.float32
    flat = pa.array(columns["vector"].reshape(-1).astype(number, copy=False), fields.field("vector").type.value_type)
    arrays["vector"] = pa.FixedSizeListArray.from_arrays(flat, dimension)
    return pa.table([arrays[name] for name in fields.names], schema=fields)


def as_vectors(column: pa.ChunkedArray, dimension: int) -> NDArray[np.float32]:
    """Return the vectors of a column, float32 of shape ``(n, dimension)``."""
    import numpy as np

    flat = column.combine_chunks().flatten().to_numpy()
    vectors: NDArray[np.float32] = flat.reshape(-1, dimension).astype(np.float32, copy=False)
    return vectors


def usable(column: pa.FixedSizeListArray) -> NDArray[np.bool_]:
    """Return for each vector of a column whether it can be compared: it is there, finite, and has a direction."""
    import numpy as np
    import pyarrow.compute as pc

    # A missing vector, or a missing number in one, becomes one that cannot be.
    flat = pc.fill_null(pc.list_flatten(pc.fill_null(column, [np.nan] * column.type.list_size)), np.nan).to_numpy()
    rows = flat.reshape(len(column), -1)
    found: NDArray[np.bool_] = np.isfinite(rows).all(axis=1) & rows.any(axis=1)
    return found


def as_rows(table: pa.Table) -> list[StoredPassage]:
    """Return the passages of a table with the columns of ``COLUMNS`` at least."""
    columns: list[Collection[Any]] = [table.column(name).to_pylist() for name in COLUMNS]
    names, rows = table.column_names, table.num_rows
    columns.append(
        [read_place(text) for text in table.column("place").to_pylist()] if "place" in names else [_NOWHERE] * rows
    )
    if "_distance" in names:
        columns.append([1.0 - distance for distance in table.column("_distance").to_pylist()])
    return [StoredPassage(*row) for row in zip(*columns, strict=True)]


def place_text(place: Place) -> str | None:
    """Return a place as its column keeps it; nothing for one that says nothing."""
    if place == _NOWHERE:
        return None
    facts = [place.headings, place.page, place.lines, place.section]
    return _JSON(facts).encode("utf-8", "replace").decode("utf-8")


def read_place(text: str | None) -> Place:
    """Return the place that ``place_text`` wrote."""
    if text is None:
        return _NOWHERE
    headings, page, lines, section = json.loads(text)
    return Place(tuple(headings), page, None if lines is None else (lines[0], lines[1]), section)

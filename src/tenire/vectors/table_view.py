"""One version of the table: it stays what it is while a search looks at it more than once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from tenire.vectors.lance_errors import explained
from tenire.vectors.lance_import import awaited
from tenire.vectors.nearest import nearest
from tenire.vectors.passage_rows import ADDED, COLUMNS, as_rows

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from tenire.vectors.key_spans import KeySpans
    from tenire.vectors.passage_rows import StoredPassage
    from tenire.vectors.row_places import RowPlaces

__all__ = ["TableView"]

_FETCH = 1000
_PIECE = 65_536
_MOST_PLACES = 2_000_000  # 16 bytes each, 32 where rows were moved about


class TableView:
    """The rows of one version. Threads may share it.

    Args:
        path: Directory of the store.
        table: LanceDB's asynchronous table at that version, or ``None`` while there is none.

    Its methods raise ``StoreError`` if it cannot be read; most often since that version
    was tidied away meanwhile.
    """

    def __init__(self, path: Path, table: Any) -> None:
        self._path = path
        self._table = table
        self._lock = threading.Lock()
        self._looks = 0
        self._places: RowPlaces | None = None
        # A table of an older version lacks those that came later.
        names = set(awaited(table.schema()).names) if table is not None else set()
        self._columns = [*COLUMNS, *(name for name in ADDED if name in names)]

    def nearest(
        self, vector: NDArray[np.float32], *, limit: int, exact: bool, within: KeySpans | None = None
    ) -> dict[int, float]:
        """Return the keys of the passages whose vectors have the largest cosine to ``vector``, with it, best first.

        Args:
            vector: Shape ``(dimension,)``, any length but zero.
            limit: At most so many.
            exact: Compare with every vector, even where there is an index.
            within: Keys of the only passages to look at, or ``None`` for all.
        """
        if self._table is None:
            return {}
        with explained(self._path, "read"):
            return nearest(self._table, vector, limit, within, exact=exact, places=self._places)

    def fetch(self, keys: Collection[int]) -> dict[int, StoredPassage]:
        """Return passages by key; a key that is not there is left out."""
        if self._table is None or not keys:
            return {}
        with explained(self._path, "read"):
            places = self._known_places()
            parts = self._by_key(list(keys)) if places is None else self._by_place(places.rows_of(keys))
            return {row.key: row for part in parts for row in as_rows(part)}

    def _by_key(self, keys: list[int]) -> Iterator[pa.Table]:
        for start in range(0, len(keys), _FETCH):
            numbers = ",".join(map(str, keys[start : start + _FETCH]))
            yield awaited(self._table.query().where(f"key IN ({numbers})").select(self._columns).to_arrow())

    def _by_place(self, rows: list[int]) -> Iterator[pa.Table]:
        if rows:
            yield awaited(self._table.take_row_ids(rows).select(self._columns).to_arrow())

    def _known_places(self) -> RowPlaces | None:
        """Return where each key stands, after finding that out if it pays.

        To look keys up, LanceDB reads all of them: 6 ms at 100,000. Where they stand is
        known after half of that, and then a look costs 2 ms. While documents come, most
        versions are looked at only once.
        """
        with self._lock:
            self._looks += 1
            if self._places is None and self._looks > 1 and awaited(self._table.count_rows()) in range(1, _MOST_PLACES):
                from tenire.vectors.row_places import RowPlaces

                found = awaited(_in_large_pieces(self._table.query().select(["key"]).with_row_id()))
                self._places = RowPlaces(found.column("key").to_numpy(), found.column("_rowid").to_numpy())
            return self._places


async def _in_large_pieces(query: Any) -> pa.Table:
    """Return what a query finds. Every piece goes through LanceDB's loop: 0.1 ms, by default for 1,024 rows."""
    import pyarrow as pa

    pieces = await query.to_batches(max_batch_length=_PIECE)
    return pa.Table.from_batches(await pieces.read_all(), schema=pieces.schema)

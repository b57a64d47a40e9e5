"""One version of the table: it stays what it is while a search looks at it more than once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenire.vectors.lance_errors import explained
from tenire.vectors.nearest import nearest_within, vector_query
from tenire.vectors.passage_rows import ADDED, COLUMNS, as_rows

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from tenire.vectors.key_spans import KeySpans
    from tenire.vectors.passage_rows import StoredPassage

__all__ = ["TableView"]

_FETCH = 1000


class TableView:
    """The rows of one version. Threads may share it.

    Args:
        path: Directory of the store.
        table: LanceDB's table at that version, or ``None`` while there is none.

    Its methods raise ``StoreError`` if it cannot be read; most often since that version
    was tidied away meanwhile.
    """

    def __init__(self, path: Path, table: Any) -> None:
        self._path = path
        self._table = table
        # A table of an older version lacks those that came later.
        names = set(table.schema.names) if table is not None else set()
        self._columns = [*COLUMNS, *(name for name in ADDED if name in names)]

    def nearest(
        self, vector: NDArray[np.float32], *, limit: int, exact: bool, within: KeySpans | None = None
    ) -> list[StoredPassage]:
        """Return the passages whose vectors have the largest cosine to ``vector``.

        Args:
            vector: Shape ``(dimension,)``, any length but zero.
            limit: At most so many.
            exact: Compare with every vector, even where there is an index.
            within: Keys of the only passages to look at, or ``None`` for all.
        """
        if self._table is None:
            return []
        with explained(self._path, "read"):
            if within is None:
                query = vector_query(self._table, vector, limit, exact=exact)
                found = as_rows(query.select([*self._columns, "_distance"]).to_arrow())
            else:
                cosines = nearest_within(self._table, vector, limit, within, exact=exact)
                rows = self.fetch(cosines)
                found = [row._replace(similarity=cosines[key]) for key, row in rows.items()]
        return sorted(found, key=lambda row: (-row.similarity, row.document, row.ordinal))

    def fetch(self, keys: Collection[int]) -> dict[int, StoredPassage]:
        """Return passages by key; a key that is not there is left out."""
        found: dict[int, StoredPassage] = {}
        wanted = list(keys) if self._table is not None else []
        with explained(self._path, "read"):
            for start in range(0, len(wanted), _FETCH):
                numbers = ",".join(map(str, wanted[start : start + _FETCH]))
                query = self._table.search().where(f"key IN ({numbers})").select(self._columns)
                found.update((row.key, row) for row in as_rows(query.to_arrow()))
        return found

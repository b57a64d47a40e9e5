"""The passages with their vectors: one LanceDB table, one Lance version a commit.

LanceDB is imported by the first call that needs it (about a second), so that
opening a store costs nothing. Its errors become ``StoreError``.

Measured with 384 dimensions on two cores: a scan of all vectors takes 27 ms at
50,000 passages and 70 ms at 100,000; the HNSW index answers in 4 and 7 ms with a
recall@10 of 0.996 and 0.97, and costs 6 and 45 s to build, nearly as much again to
refresh. So it is built late and refreshed rarely; passages that came since are
scanned, and always found.
"""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from tenire.errors import MissingExtraError, StoreError
from tenire.vectors.interruptible import work_on
from tenire.vectors.lance_import import import_lancedb
from tenire.vectors.nearest import nearest_within, vector_query
from tenire.vectors.passage_rows import ADDED, COLUMNS, as_arrow, as_rows, schema

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from tenire.protocols import StopSign
    from tenire.vectors.key_spans import KeySpans
    from tenire.vectors.passage_rows import StoredPassage

__all__ = ["LanceTable", "TableState"]

Result = TypeVar("Result")

_NAME = "passages"
_SCAN_ROWS = 4096
_FETCH = 1000
_SPANS = 200
# Lance keeps indexes and metadata in memory; by default up to several GiB.
_INDEX_CACHE = 256 << 20
_METADATA_CACHE = 32 << 20
_PARTITION = 50_000
_SOURCE = re.compile(r",?\s+\S+\.rs:\d+:\d+$")
"""Where in its source Lance found an error: of use to nobody who has a full disk."""


class TableState(NamedTuple):
    """What decides about maintenance.

    Attributes:
        rows: Passages.
        fragments: Small pieces that commits left.
        indexed: Passages in the vector index; 0 without one.
    """

    rows: int
    fragments: int
    indexed: int


class LanceTable:
    """The table of one store. Threads may share it; one at a time writes.

    Args:
        path: Directory of the store.
        dimension: Length of a vector.
        half: Whether numbers of vectors have 16 bits instead of 32.
    """

    def __init__(self, path: Path, dimension: int, *, half: bool = False) -> None:
        self._path = path
        self._dimension = dimension
        self._half = half
        self._whole = False
        self._lock = threading.Lock()
        self._opened: Any = None

    # ------------------------------------------------------------------ reading

    def version(self) -> int:
        """Return the number of the latest version; 0 while nothing was written."""
        return self._read(lambda table: int(table.version), 0)

    def count(self) -> int:
        """Return the number of passages."""
        return self._read(lambda table: int(table.count_rows()), 0)

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
        nothing: list[StoredPassage] = []
        found = self._read(lambda table: self._nearest(table, vector, limit, exact, within), nothing)
        return sorted(found, key=lambda row: (-row.similarity, row.document, row.ordinal))

    def _nearest(
        self, table: Any, vector: NDArray[np.float32], limit: int, exact: bool, within: KeySpans | None
    ) -> list[StoredPassage]:
        if within is None:
            columns = [*self._columns(table), "_distance"]
            return as_rows(vector_query(table, vector, limit, exact=exact).select(columns).to_arrow())
        keys = nearest_within(table, vector, limit, within, exact=exact)
        rows = [row for part in self._by_key(table, list(keys)) for row in as_rows(part)]
        return [row._replace(similarity=keys[row.key]) for row in rows]

    def fetch(self, keys: Collection[int]) -> dict[int, StoredPassage]:
        """Return passages by key; a key that is not there is left out."""
        nothing: list[pa.Table] = []
        parts = self._read(lambda table: self._by_key(table, list(keys)), nothing)
        return {row.key: row for part in parts for row in as_rows(part)}

    def _by_key(self, table: Any, keys: list[int]) -> list[pa.Table]:
        found: list[pa.Table] = []
        for start in range(0, len(keys), _FETCH):
            numbers = ",".join(map(str, keys[start : start + _FETCH]))
            found.append(table.search().where(f"key IN ({numbers})").select(self._columns(table)).to_arrow())
        return found

    def scan(self, columns: Sequence[str], *, where: str | None = None) -> list[pa.Table]:
        """Return rows of some columns, all of one version.

        Suits narrow columns, or a narrow ``where``: the result is in memory.
        """

        def ask(table: Any) -> list[pa.Table]:
            query = table.search()
            if where is not None:
                query = query.where(where)
            return [query.select(list(columns)).to_arrow()]

        nothing: list[pa.Table] = []
        return self._read(ask, nothing)

    def scan_spans(self, columns: Sequence[str], spans: Collection[tuple[int, int]]) -> Iterator[pa.Table]:
        """Yield rows of some columns whose keys lie in spans ``(first, count)``."""
        ordered = sorted(spans)
        for start in range(0, len(ordered), _SPANS):
            part = ordered[start : start + _SPANS]
            where = " OR ".join(f"key BETWEEN {first} AND {first + count - 1}" for first, count in part)
            yield from self.scan(columns, where=where)

    def stream(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield all rows of some columns of one version, a few thousand at a time."""
        nothing: Iterable[pa.RecordBatch] = ()
        batches = self._read(lambda table: table.search().select(list(columns)).to_batches(_SCAN_ROWS), nothing)
        with _explained(self._path, "read"):
            yield from batches

    def state(self) -> TableState:
        """Return what decides about maintenance."""

        def ask(table: Any) -> TableState:
            fragments = table.stats()["fragment_stats"]["num_small_fragments"]
            indexed = sum(
                table.index_stats(index.name).num_indexed_rows
                for index in table.list_indices()
                if index.columns == ["vector"]
            )
            return TableState(int(table.count_rows()), int(fragments), int(indexed))

        return self._read(ask, TableState(0, 0, 0))

    # ------------------------------------------------------------------ writing

    def write(self, columns: dict[str, Any], remove: Collection[str]) -> int:
        """Add rows and drop documents in one version, all or nothing.

        Args:
            columns: One sequence a column; ``vector`` of shape ``(n, dimension)``. May hold no rows.
            remove: Ids of the documents whose rows leave.

        Returns:
            The table's version after it.

        Raises:
            StoreError: If it cannot be written; nothing was changed.
        """
        _import_lancedb()
        rows = as_arrow(columns, self._dimension, half=self._half)
        with _explained(self._path, "write"):
            table = self._table(create=rows.num_rows > 0)
            if table is None:
                return 0
            self._complete(table, rows.schema)
            condition = f"document IN ({','.join(map(_quoted, remove))})"
            if not remove:
                return int(table.add(rows).version)
            if not rows.num_rows:
                return int(table.delete(condition).version)
            # Keys are new, so nothing matches: this inserts all rows and drops those of the
            # condition, as one version. A delete and an add would be two, with a moment between
            # them in which a crash or a reader finds neither the old document nor the new.
            merge = table.merge_insert("key").when_not_matched_insert_all()
            return int(merge.when_not_matched_by_source_delete(condition).execute(rows).version)

    def build_index(self, rows: int, *, stop: StopSign | None = None) -> bool:
        """Build the vector index over all passages, in place of any there is.

        Args:
            rows: Passages in the table.
            stop: Tells when to break it off, if that may be.

        Returns:
            Whether it was built.

        Raises:
            StoreError: If it cannot be built; the old one stays.
        """
        with _explained(self._path, "index"):
            _import_lancedb()
            from lancedb.index import HnswSq

            config = HnswSq(
                distance_type="cosine", num_partitions=max(1, rows // _PARTITION), m=20, ef_construction=150
            )
            if stop is not None:
                return self._work(lambda table: table.create_index("vector", config=config, replace=True), stop)
            self._table(create=False).create_index("vector", config=config, replace=True)
            return True

    def compact(self, *, keep: timedelta, stop: StopSign | None = None) -> bool:
        """Join small fragments, drop deleted rows, refresh the index, forget old versions.

        Args:
            keep: Versions younger than this stay, for readers that are in the middle of them.
            stop: Tells when to break it off, if that may be.

        Returns:
            Whether it was done.

        Raises:
            StoreError: If it cannot be done; nothing was lost.
        """
        with _explained(self._path, "compact"):
            if stop is not None:
                return self._work(lambda table: table.optimize(cleanup_older_than=keep), stop)
            self._table(create=False).optimize(cleanup_older_than=keep)
            return True

    def _work(self, work: Callable[[Any], Awaitable[object]], stop: StopSign) -> bool:
        try:
            return work_on(self._path, _NAME, work, stop)
        finally:
            # It was done through another connection than this table's.
            self._table(create=False).checkout_latest()

    def open(self) -> None:
        """Import LanceDB and open the table, if there is one: what the first call would do."""
        with _explained(self._path, "open"):
            _import_lancedb()
            self._table(create=False)

    def close(self) -> None:
        """Let go of the table; a later call opens it again."""
        with self._lock:
            self._opened = None

    # ------------------------------------------------------------------ inside

    def _columns(self, table: Any) -> list[str]:
        """Return the columns of a passage that a table has: a column never leaves, but may come."""
        if not self._whole:
            self._whole = set(ADDED) <= set(table.schema.names)
        return [*COLUMNS, *ADDED] if self._whole else list(COLUMNS)

    def _complete(self, table: Any, wanted: pa.Schema) -> None:
        """Give a table of an older version the columns that it lacks; costs no look at its rows."""
        if not self._whole:
            there = set(table.schema.names)
            if missing := [wanted.field(name) for name in ADDED if name not in there]:
                table.add_columns(missing)
            self._whole = True

    def _table(self, *, create: bool) -> Any:
        with self._lock:
            if self._opened is not None:
                return self._opened
            if not create and not (self._path / f"{_NAME}.lance").exists():
                return None
            lancedb = _import_lancedb()
            session = lancedb.Session(index_cache_size_bytes=_INDEX_CACHE, metadata_cache_size_bytes=_METADATA_CACHE)
            # Every read looks for a newer version: another process may be the writer. Measured at 0.3 ms.
            database = lancedb.connect(self._path, read_consistency_interval=timedelta(0), session=session)
            if create:
                self._opened = database.create_table(
                    _NAME, schema=schema(self._dimension, half=self._half), exist_ok=True
                )
            else:
                try:
                    self._opened = database.open_table(_NAME)
                except ValueError:
                    # A kill in the middle of making it leaves a directory without a version.
                    return None
            return self._opened

    def _read(self, ask: Callable[[Any], Result], nothing: Result) -> Result:
        with _explained(self._path, "read"):
            table = self._table(create=False)
            if table is None:
                return nothing
            try:
                return ask(table)
            except (OSError, RuntimeError):
                # The files of a version may be tidied away while it is read; the next one has the rows.
                table.checkout_latest()
                return ask(table)


def _import_lancedb() -> Any:
    try:
        return import_lancedb()
    except ModuleNotFoundError as error:
        if error.name not in ("lancedb", "pyarrow"):
            raise
        raise MissingExtraError("the vector store", extra="data", missing=error.name) from error


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


@contextmanager
def _explained(path: Path, action: str) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        # LanceDB reports everything from a full disk to a damaged file as one of these; pyarrow's are ValueErrors.
        reason = _SOURCE.sub("", next(iter(str(error).splitlines()), type(error).__name__))
        message = f"cannot {action} the store {path}: {reason}"
        raise StoreError(message, hint="check free space and permissions, then run: tenire verify") from error

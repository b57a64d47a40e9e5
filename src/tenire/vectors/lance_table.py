"""The passages with their vectors: one LanceDB table, one Lance version a commit.

LanceDB is imported by the first call that needs it (about a second), so that
opening a store costs nothing. Its errors become ``StoreError``.

A comparison with all of 100,000 vectors takes 60 ms of processor time. The index is a copy of
them with 8 bits a number, in partitions: a comparison with all of those takes 9 ms, and what
looks best is compared again exactly (``benchmarks/recall.py``). It takes a second to build. An
HNSW graph over the same copy answers in 6 ms with a recall@10 of 0.996, but takes half a minute
of processor time to build, and twice the memory. Passages that came since are scanned, and
always found.
"""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from tenire.errors import MissingExtraError
from tenire.observe.heap import memory_returned, return_memory
from tenire.vectors.interruptible import work_on
from tenire.vectors.lance_errors import explained
from tenire.vectors.lance_import import awaited, import_lancedb
from tenire.vectors.nearest import index_damage
from tenire.vectors.passage_rows import ADDED, as_arrow, schema
from tenire.vectors.table_view import TableView

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from tenire.protocols import StopSign

__all__ = ["LanceTable", "TableState"]

Result = TypeVar("Result")

_SCAN_ROWS = 4096
_SPANS = 200
# Lance keeps indexes and metadata in memory; by default up to several GiB.
_INDEX_CACHE = 256 << 20
# Every version has metadata of its own, which commits never ask for again: a larger cache only fills up.
_METADATA_CACHE = 2 << 20
_INDEX_KIND = "IvfSq"
# Passages. What commits have freed the allocator keeps otherwise, and cannot use well: 70 MB after 100,000
# passages. To give it back takes 4 ms, a hundredth of the time of such a commit.
_RETURN_AFTER = 512


class TableState(NamedTuple):
    """What decides about maintenance.

    Attributes:
        rows: Passages.
        fragments: Small pieces that commits left.
        versions: Versions that are kept.
        indexed: Passages in the vector index; 0 without one, or with one of another kind than is built today.
        parts: Of how many indexes that one consists: each refreshing adds one.
    """

    rows: int
    fragments: int
    versions: int
    indexed: int
    parts: int


class LanceTable:
    """The table of one store. Threads may share it; one at a time writes.

    Args:
        path: Directory of the store.
        dimension: Length of a vector.
        half: Whether numbers of vectors have 16 bits instead of 32.
        name: Which table of the store.

    Attributes:
        name: The same.
    """

    def __init__(self, path: Path, dimension: int, *, half: bool = False, name: str = "passages") -> None:
        self.name = name
        self._path = path
        self._dimension = dimension
        self._half = half
        self._whole = False
        self._written = 0
        self._lock = threading.Lock()
        self._database: Any = None
        self._session: Any = None
        self._opened: Any = None
        self._beside: Any = None
        self._view: tuple[int, TableView] | None = None
        self._lost = -1

    # ------------------------------------------------------------------ reading

    def version(self) -> int:
        """Return the number of the latest version; 0 while nothing was written."""
        return self._read(lambda table: int(table.version), 0)

    def count(self) -> int:
        """Return the number of passages."""
        return self._read(lambda table: int(table.count_rows()), 0)

    def columns(self) -> list[str]:
        """Return the names of the columns; none while nothing was written."""
        nothing: list[str] = []
        return self._read(lambda table: list(table.schema.names), nothing)

    def view(self, version: int) -> TableView:
        """Return the rows as they were after one version, or as they are now if that is no longer there.

        Raises:
            StoreError: If they cannot be read.
        """
        with self._lock:
            if self._view is not None and self._view[0] == version:
                return self._view[1]
            lost = self._lost == version
        with explained(self._path, "read"):
            table = self._another()
            if table is None:
                return TableView(self._path, None)
            try:
                awaited(_at(table, None if lost else version))
            except (OSError, RuntimeError, ValueError):
                # Tidied away, after what came later was joined with it.
                awaited(_at(table, None))
                lost = True
            view = TableView(self._path, table)
            if lost:
                return view
            with self._lock:
                self._view = (version, view)
            return view

    def lose(self, version: int) -> None:
        """Remember that the files of a version are gone."""
        with self._lock:
            self._view, self._lost = None, version

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
        with explained(self._path, "read"):
            yield from batches

    def state(self) -> TableState:
        """Return what decides about maintenance."""

        def ask(table: Any) -> TableState:
            fragments = table.stats()["fragment_stats"]["num_small_fragments"]
            indexes = [
                table.index_stats(index.name)
                for index in table.list_indices()
                if index.columns == ["vector"] and index.index_type == _INDEX_KIND
            ]
            versions = sum(1 for _ in (self._path / f"{self.name}.lance" / "_versions").iterdir())
            indexed, parts = (
                sum(index.num_indexed_rows for index in indexes),
                sum(index.num_indices for index in indexes),
            )
            return TableState(int(table.count_rows()), int(fragments), versions, int(indexed), int(parts))

        return self._read(ask, TableState(0, 0, 0, 0, 0))

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
        self._written += rows.num_rows
        if self._written >= _RETURN_AFTER:
            self._written = 0
            return_memory()
        with explained(self._path, "write"):
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

    def build_index(self, *, stop: StopSign | None = None) -> bool:
        """Build the vector index over all passages, in place of any there is.

        Args:
            stop: Tells when to break it off, if that may be.

        Returns:
            Whether it was built.

        Raises:
            StoreError: If it cannot be built; the old one stays.
        """
        with explained(self._path, "index"), memory_returned():
            _import_lancedb()
            from lancedb.index import IvfSq

            # Partitions are of the size that LanceDB has in mind, otherwise it would divide or join them later.
            config = IvfSq(distance_type="cosine")
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
        with explained(self._path, "compact"), memory_returned():
            self.drop_index(outdated=True)
            if stop is not None:
                return self._work(lambda table: table.optimize(cleanup_older_than=keep), stop)
            self._table(create=False).optimize(cleanup_older_than=keep)
            return True

    def index_damage(self) -> str:
        """Return why the vector index cannot be searched; nothing if it can, or there is none."""
        return self._read(lambda table: index_damage(table, self._dimension), "")

    def drop_index(self, *, outdated: bool = False) -> None:
        """Drop the vector index, or one of another kind: an HNSW graph takes longer to refresh than a new one to build.

        Raises:
            StoreError: If it cannot be dropped.
        """
        with explained(self._path, "index"):
            table = self._table(create=False)
            for index in table.list_indices() if table is not None else ():
                if index.columns == ["vector"] and not (outdated and index.index_type == _INDEX_KIND):
                    table.drop_index(index.name)

    def _work(self, work: Callable[[Any], Awaitable[object]], stop: StopSign) -> bool:
        try:
            return work_on(self._path, self.name, work, stop)
        finally:
            # It was done through another connection than this table's.
            self._table(create=False).checkout_latest()

    def open(self) -> None:
        """Import LanceDB and open the table, if there is one: what the first call would do."""
        with explained(self._path, "open"):
            _import_lancedb()
            self._table(create=False)

    def drop(self) -> None:
        """Delete the table, if there is one.

        Raises:
            StoreError: If it cannot be deleted.
        """
        with explained(self._path, "tidy up"):
            with self._lock:
                if self._exists():
                    self._connected().drop_table(self.name)
            self.close()

    def close(self) -> None:
        """Let go of the table; a later call opens it again."""
        with self._lock:
            self._database = self._session = self._opened = self._beside = self._view = None

    # ------------------------------------------------------------------ inside

    def _complete(self, table: Any, wanted: pa.Schema) -> None:
        """Give a table of an older version the columns that it lacks; costs no look at its rows."""
        if not self._whole:
            there = set(table.schema.names)
            if missing := [wanted.field(name) for name in ADDED if name not in there]:
                table.add_columns(missing)
            self._whole = True

    def _table(self, *, create: bool) -> Any:
        with self._lock:
            if self._opened is None and (create or self._exists()):
                database = self._connected()
                if create:
                    wanted = schema(self._dimension, half=self._half)
                    self._opened = database.create_table(self.name, schema=wanted, exist_ok=True)
                else:
                    self._opened = self._open(database.open_table)
            return self._opened

    def _another(self) -> Any:
        """Open the table once more, as an asynchronous one: a handle of its own may stay at one version."""
        with self._lock:
            if not self._exists():
                return None
            self._connected()
            return self._open(lambda name: awaited(self._beside.open_table(name)))

    def _exists(self) -> bool:
        return (self._path / f"{self.name}.lance").exists()

    def _connected(self) -> Any:
        if self._database is None:
            lancedb = _import_lancedb()
            self._session = lancedb.Session(
                index_cache_size_bytes=_INDEX_CACHE, metadata_cache_size_bytes=_METADATA_CACHE
            )
            # Every read looks for a newer version: another process may be the writer. Measured at 0.3 ms.
            look = {"read_consistency_interval": timedelta(0), "session": self._session}
            self._database = lancedb.connect(self._path, **look)
            self._beside = awaited(lancedb.connect_async(self._path, **look))
        return self._database

    def _open(self, opening: Callable[[str], Any]) -> Any:
        try:
            return opening(self.name)
        except ValueError:
            # A kill in the middle of making it leaves a directory without a version.
            return None

    def _read(self, ask: Callable[[Any], Result], nothing: Result) -> Result:
        with explained(self._path, "read"):
            table = self._table(create=False)
            if table is None:
                return nothing
            try:
                return ask(table)
            except (OSError, RuntimeError):
                # The files of a version may be tidied away while it is read; the next one has the rows.
                table.checkout_latest()
                return ask(table)


async def _at(table: Any, version: int | None) -> None:
    await table.checkout(await table.version() if version is None else version)


def _import_lancedb() -> Any:
    try:
        return import_lancedb()
    except ModuleNotFoundError as error:
        if error.name not in ("lancedb", "pyarrow"):
            raise
        raise MissingExtraError("the vector store", extra="data", missing=error.name) from error


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"

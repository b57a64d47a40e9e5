"""Which sources are known, which were seen in this run, and where documents came from."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from tenire.storage.records import DocumentRow, MemberRow, SourceRow, SourceState, is_racy
from tenire.storage.schema import decode_path, encode_path, has_column

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tenire.protocols import SourceFile
    from tenire.storage.database import Database
    from tenire.storage.records import Run

__all__ = ["SourceTable"]

# Below the 999 parameters that old builds of SQLite allow in one statement.
_AT_ONCE = 500


class SourceTable:
    """The tables ``sources`` and ``documents``, as far as they are only read or marked.

    What is seen in a run is kept in a temporary table as row numbers: eight bytes
    a file, on disk when there are many, and an unchanged file writes nothing to
    the ledger itself.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def known(self, run: Run, files: Sequence[SourceFile]) -> dict[str, SourceRow]:
        """Look up what a run has listed, and mark it as seen.

        Call it for everything that the source lists, files that it rejects by
        itself included; what was not looked up counts as vanished.

        Args:
            run: The run that lists the files.
            files: Any number of files; a few hundred at once are cheapest.

        Returns:
            The row of each file that is known, by path.
        """
        rows: dict[str, SourceRow] = {}
        with self._database.reading() as connection:
            for paths in _chunks(file.path for file in files):
                marks = ",".join("?" * len(paths))
                query = (
                    "SELECT id, source, size, mtime_ns, content_hash, document, state, recipe, racy"
                    f" FROM sources WHERE pipeline = ? AND source IN ({marks})"
                )
                found = connection.execute(query, [run.pipeline, *map(encode_path, paths)]).fetchall()
                for number, raw, size, mtime_ns, content_hash, document, state, recipe, racy in found:
                    path = decode_path(raw)
                    rows[path] = SourceRow(
                        number, path, size, mtime_ns, content_hash, document, SourceState(state), recipe, bool(racy)
                    )
                connection.executemany(
                    "INSERT OR IGNORE INTO temp.seen (run, id) VALUES (?, ?)", [(run.id, row[0]) for row in found]
                )
        return rows

    def vanished(self, run: Run, *, at_once: int = _AT_ONCE) -> Iterator[list[str]]:
        """Yield the known sources that this run did not list, a few hundred at a time.

        Members of a container go with it and are not listed. A container of which only
        members are known, since the run that read it was killed, is.

        Only true once the source was listed to its end. The caller may remove what
        it got before it asks for more.

        Args:
            run: The run.
            at_once: Largest number of paths in one list.
        """
        last = 0
        while True:
            with self._database.reading() as connection:
                found = connection.execute(
                    "SELECT id, coalesce(container, source) FROM sources WHERE id > ? AND id <= ? AND pipeline = ?"
                    " AND NOT EXISTS (SELECT 1 FROM temp.seen WHERE run = ? AND seen.id = sources.id)"
                    " AND (container IS NULL OR NOT EXISTS (SELECT 1 FROM sources AS c"
                    " WHERE c.pipeline = sources.pipeline AND c.source = sources.container))"
                    " ORDER BY id LIMIT ?",
                    (last, run.watermark, run.pipeline, run.id, at_once),
                ).fetchall()
            if not found:
                return
            last = found[-1][0]
            yield [decode_path(raw) for raw in dict.fromkeys(raw for _, raw in found)]

    def touched(self, run: Run, files: Sequence[SourceFile]) -> None:
        """Note the new times of files whose content turned out to be what it was.

        Args:
            run: The run that hashed them.
            files: The files as they are now.
        """
        with self._database.writing() as connection:
            connection.executemany(
                "UPDATE sources SET mtime_ns = ?, racy = ? WHERE pipeline = ? AND source = ? AND size = ?",
                [
                    (
                        file.mtime_ns,
                        is_racy(file.mtime_ns, run.started_at),
                        run.pipeline,
                        encode_path(file.path),
                        file.size,
                    )
                    for file in files
                ],
            )

    def documents_of(self, pipeline: str, paths: Iterable[str]) -> dict[str, str | None]:
        """Return the document of each path that is known (``None`` in quarantine)."""
        found: dict[str, str | None] = {}
        with self._database.reading() as connection:
            for chunk in _chunks(paths):
                marks = ",".join("?" * len(chunk))
                query = f"SELECT source, document FROM sources WHERE pipeline = ? AND source IN ({marks})"
                rows = connection.execute(query, [pipeline, *map(encode_path, chunk)])
                found.update((decode_path(raw), document) for raw, document in rows)
        return found

    def members_of(self, pipeline: str, containers: Iterable[str]) -> list[MemberRow]:
        """Return the known members of those of the paths that are containers."""
        found: list[MemberRow] = []
        with self._database.reading() as connection:
            for chunk in _chunks(containers):
                marks = ",".join("?" * len(chunk))
                query = (
                    "SELECT source, container, state, read_in FROM sources"
                    f" WHERE pipeline = ? AND container IN ({marks})"
                )
                rows = connection.execute(query, [pipeline, *map(encode_path, chunk)])
                found.extend(
                    MemberRow(decode_path(raw), decode_path(container), state != SourceState.DONE, read_in)
                    for raw, container, state, read_in in rows
                )
        return found

    def sources_of(self, documents: Iterable[str]) -> dict[str, list[str]]:
        """Return the paths of all sources of each document, sorted, of all pipelines together."""
        paths: dict[str, set[str]] = {}
        with self._database.reading() as connection:
            for chunk in _chunks(documents):
                marks = ",".join("?" * len(chunk))
                query = f"SELECT document, source FROM sources WHERE document IN ({marks})"
                for document, raw in connection.execute(query, chunk):
                    paths.setdefault(document, set()).add(decode_path(raw))
        return {document: sorted(found) for document, found in paths.items()}

    def documents(self, ids: Iterable[str]) -> dict[str, DocumentRow]:
        """Return the rows of those documents that are known."""
        rows: dict[str, DocumentRow] = {}
        with self._database.reading() as connection:
            for chunk in _chunks(ids):
                marks = ",".join("?" * len(chunk))
                query = f"SELECT id, passages, text_bytes, title FROM documents WHERE id IN ({marks})"
                rows.update((row[0], DocumentRow(*row)) for row in connection.execute(query, chunk))
        return rows

    def unreferenced(self, leaving: Mapping[str, int]) -> list[str]:
        """Return the documents that no source needs once some have left.

        Args:
            leaving: For each document, how many of its sources leave.
        """
        gone: list[str] = []
        with self._database.reading() as connection:
            for document, count in leaving.items():
                # Counts no further than needed: one document may have ten thousand copies.
                left = connection.execute(
                    "SELECT count(*) FROM (SELECT 1 FROM sources WHERE document = ? LIMIT ?)", (document, count + 1)
                ).fetchone()[0]
                if left <= count:
                    gone.append(document)
        return gone

    def holders(self, documents: Iterable[str]) -> dict[str, list[str]]:
        """Return the paths of all sources of any of the documents, and of their containers, by pipeline."""
        paths: dict[str, dict[str, None]] = {}
        with self._database.reading() as connection:
            for chunk in _chunks(documents):
                marks = ",".join("?" * len(chunk))
                query = f"SELECT pipeline, source, container FROM sources WHERE document IN ({marks})"
                for pipeline, raw, container in connection.execute(query, chunk):
                    found = paths.setdefault(pipeline, {})
                    found[decode_path(raw)] = None
                    if container is not None:
                        found[decode_path(container)] = None
        return {pipeline: list(found) for pipeline, found in paths.items()}

    def abandoned(self) -> list[str]:
        """Return the documents that no source refers to; there are none unless something went wrong."""
        with self._database.reading() as connection:
            found = connection.execute(
                "SELECT id FROM documents AS d WHERE NOT EXISTS (SELECT 1 FROM sources WHERE document = d.id)"
            ).fetchall()
        return [row[0] for row in found]

    def passages(self) -> tuple[dict[str, int], int]:
        """Return the number of passages of each document that a source refers to, and the number of done sources."""
        with self._database.reading() as connection:
            expected = dict(
                connection.execute(
                    "SELECT id, passages FROM documents AS d WHERE EXISTS (SELECT 1 FROM sources WHERE document = d.id)"
                )
            )
            return expected, self.done()

    def done(self) -> int:
        """Return the number of done sources; a container counts by its members alone."""
        with self._database.reading() as connection:
            done = connection.execute("SELECT count(*) FROM sources WHERE state = 'done'").fetchone()[0]
            if has_column(connection, "sources", "container"):
                # Not those that hold nothing: they are empty documents.
                done -= connection.execute(
                    "SELECT count(*) FROM (SELECT DISTINCT pipeline, container FROM sources"
                    " WHERE container IS NOT NULL) AS held JOIN sources AS s"
                    " ON s.pipeline = held.pipeline AND s.source = held.container WHERE s.state = 'done'"
                ).fetchone()[0]
        return int(done)


def _chunks(items: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, _AT_ONCE)):
        yield chunk

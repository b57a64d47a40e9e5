"""Commits to a store on a PostgreSQL server against a script that only copies; and searches there.

Both sides write the same passages of real files with the same vectors in the same batches, a
transaction each, to a private server that waits for its disk, into a table of their own with the same
indexes: a primary key and a full-text index. The script knows nothing of batch ids, of copies, of
texts that PostgreSQL cannot hold, or of hashes to verify; it copies, as pgvector's examples do, and
the server makes the words of the text. Sides take turns in each round, on a new database each.

    python benchmarks/server_store.py [--passages N] [--rounds N] [FOLDER]…

Then the vector index is built over the last store, and 200 passages are searched for, with the index and
without: the share of the ten nearest that the index finds, and milliseconds of a hybrid search.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psycopg
from _common import cores, report, spread
from _passages import documents_of, text_files

from tenire.protocols import Batch, Document
from tenire.vectors import PostgresStore, load_embedder
from tenire.vectors.postgres import upkeep

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
from postgres_cluster import Cluster, unavailable

if TYPE_CHECKING:
    from numpy.typing import NDArray

DOCUMENTS = 32
"""Of one batch."""

_SETUP = (
    "CREATE EXTENSION vector",
    "CREATE TABLE passages (document text, ordinal integer, source text, text text NOT NULL,"
    " words tsvector GENERATED ALWAYS AS (to_tsvector('english', text)) STORED, vector halfvec(%d),"
    " PRIMARY KEY (document, ordinal))",
    "CREATE INDEX ON passages USING gin (words)",
)
_COPY = "COPY passages (document, ordinal, source, text, vector) FROM STDIN (FORMAT BINARY)"


class Spent:
    """What a block takes here and at the server, a context manager.

    Attributes:
        wall: Seconds.
        cpu: Seconds of processor time of this process and of the server's for the connection.
    """

    def __init__(self, connection: Any) -> None:
        self._file = Path(f"/proc/{connection.info.backend_pid}/schedstat")

    def __enter__(self) -> Spent:
        self.wall, self.cpu = -time.perf_counter(), -self._now()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall += time.perf_counter()
        self.cpu += self._now()

    def _now(self) -> float:
        at_server = int(self._file.read_text().split()[0]) / 1e9 if self._file.exists() else 0.0
        return time.process_time() + at_server


def script(dsn: str, batches: list[Batch], dimension: int) -> Spent:
    """Copy all passages; return what it took."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in _SETUP:
            connection.execute((statement % dimension if "%d" in statement else statement).encode())
        with Spent(connection) as spent:
            for batch in batches:
                copy_batch(connection, batch, dimension)
    return spent


def copy_batch(connection: Any, batch: Batch, dimension: int) -> None:
    """Copy the passages of one batch."""
    with connection.transaction(), connection.cursor().copy(_COPY) as copy:
        copy.set_types(["text", "int4", "text", "text", "bytea"])
        rows = iter(batch.vectors if batch.vectors is not None else ())
        for document in batch.documents:
            for passage in document.passages:
                vector = next(rows).astype(">f2").tobytes()
                head = np.array([dimension, 0], ">u2").tobytes()
                text = passage.text.replace("\0", " ").encode("utf-8", "replace").decode()
                copy.write_row((document.id, passage.ordinal, document.file.path, text, head + vector))


def ours(dsn: str, batches: list[Batch], dimension: int) -> Spent:
    """Commit all passages; return what it took."""
    store = PostgresStore(dsn, dimension=dimension, embedder="benchmark")
    with closing(store), Spent(store._writer.alone("open", lambda server: server)) as spent:  # noqa: SLF001
        for batch in batches:
            store.commit(batch)
    return spent


def made(folders: list[str], passages: int) -> tuple[list[Batch], int]:
    """Return batches of real passages with their vectors, and the length of these."""
    embedder = load_embedder("static")
    batches: list[Batch] = []
    waiting: list[Document] = []
    total = 0
    for document in documents_of(text_files(folders)):
        waiting.append(document)
        total += len(document.passages)
        if len(waiting) == DOCUMENTS or total >= passages:
            texts = [passage.text for each in waiting for passage in each.passages]
            batches.append(Batch(f"b{len(batches)}", tuple(waiting), embedder.embed(texts)))
            waiting = []
        if total >= passages:
            break
    return batches, embedder.dimension


def searches(dsn: str, batches: list[Batch]) -> dict[str, Any]:
    """Build the index and search with it and without."""
    store = PostgresStore(dsn, create=False)
    upkeep.INDEX_ROWS = 0  # however few there are
    started = time.perf_counter()
    store.optimise(ended=True)
    built = time.perf_counter() - started
    asked: list[tuple[str, NDArray[np.float32]]] = []
    for batch in batches:
        assert batch.vectors is not None
        # A vector between two passages: a question that is no passage itself.
        asked.append((batch.documents[0].passages[0].text[:80], batch.vectors[0] + batch.vectors[-1]))
    times, found = [], []
    for text, vector in asked[:200]:
        began = time.perf_counter()
        store.search(text, vector, k=10, mode="hybrid")
        times.append(1000 * (time.perf_counter() - began))
        near, all_ = (
            {(hit.document, hit.ordinal) for hit in store.search("", vector, k=10, mode="vector", exact=exact)}
            for exact in (False, True)
        )
        found.append(len(near & all_) / max(1, len(all_)))
    store.close()
    return {
        "index_s": round(built, 1),
        "recall_at_10": round(sum(found) / len(found), 4),
        "hybrid_ms": spread(times, 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--passages", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("folders", nargs="*")
    options = parser.parse_args()
    if unavailable():
        raise SystemExit(unavailable())
    batches, dimension = made(options.folders, options.passages)
    passages = sum(len(document.passages) for batch in batches for document in batch.documents)
    took: dict[str, list[Spent]] = {"ours": [], "script": []}
    with Cluster(durable=True) as cluster:
        for number in range(options.rounds):
            sides = [("ours", ours), ("script", script)]
            for name, side in sides if number % 2 else reversed(sides):
                took[name].append(side(cluster.database(name), batches, dimension))
                cluster.execute("CHECKPOINT")
        looked = searches(cluster.dsn("ours"), batches)
    report(
        "server_store",
        cores=cores(),
        load=round(os.getloadavg()[0], 1),
        passages=passages,
        batches=len(batches),
        seconds={name: spread([each.wall for each in values], 2) for name, values in took.items()},
        ratio=spread([theirs.wall / mine.wall for mine, theirs in zip(took["ours"], took["script"], strict=True)], 2),
        ratio_cpu=spread([theirs.cpu / mine.cpu for mine, theirs in zip(took["ours"], took["script"], strict=True)], 2),
        **looked,
    )


if __name__ == "__main__":
    main()

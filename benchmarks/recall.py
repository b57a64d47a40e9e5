"""How much of the true answer a search finds, and how long it takes, at 100,000 real passages.

Fills a store with real documents (``--files``; this Python's own sources where none are
named), builds the vector index, and asks it parts of passages that it holds. Recall is the
share of the exact ten nearest passages that the index found. Times are those of one search
in a running process, without the embedding of the query; each kind takes turns with the
others, so that a busy machine slows all alike.

    python benchmarks/recall.py [--files DIR]... [--embedder static] [--passages N] [--queries N] [--keep DIR]
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lancedb
import numpy as np
from _common import report
from _passages import documents_of, filled_store, text_files

from tenire.vectors import LanceStore, load_embedder
from tenire.vectors.nearest import vector_query

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.protocols import Document, Hit

K = 10
KNOBS = [
    {"nprobes": 1, "refine": 2},
    {"nprobes": 4, "refine": 2},
    {"nprobes": 8, "refine": 2},
    {"nprobes": 64, "refine": 1},
    {"nprobes": 64, "refine": 2},
    {"nprobes": 64, "refine": 4},
]


def queries_of(documents: list[Document], count: int) -> list[str]:
    """Return parts of stored passages: a run of 4 to 12 words of each."""
    rng = random.Random(1)
    passages = [passage for document in documents for passage in document.passages]
    texts: list[str] = []
    for passage in rng.sample(passages, min(count, len(passages))):
        words = passage.text.split()
        length = rng.randint(4, 12)
        start = rng.randrange(max(1, len(words) - length))
        texts.append(" ".join(words[start : start + length]))
    return texts


def timed(ask: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return what was answered, and the wall and processor seconds that it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    answer = ask()
    return answer, time.perf_counter() - wall, time.process_time() - cpu


def places(hits: list[Hit]) -> set[tuple[str, int]]:
    """Return which passages these are."""
    return {(hit.document, hit.ordinal) for hit in hits[:K]}


def summary(times: list[tuple[float, float]]) -> dict[str, float]:
    """Return the middle wall and processor time, and the 95th percentile, in milliseconds."""
    walls = sorted(wall for wall, _ in times)
    return {
        "p50_ms": round(statistics.median(walls) * 1e3, 2),
        "p95_ms": round(walls[int(len(walls) * 0.95)] * 1e3, 2),
        "cpu_ms": round(statistics.median(cpu for _, cpu in times) * 1e3, 2),
    }


def measure(store: LanceStore, queries: list[str], vectors: np.ndarray[Any, Any]) -> None:
    """Ask every query in every mode, in turns."""
    kinds: dict[str, Callable[[str, Any], list[Hit]]] = {
        "exact": lambda text, vector: store.search(text, vector, k=K, mode="vector", exact=True),
        "vector": lambda text, vector: store.search(text, vector, k=K, mode="vector"),
        "text": lambda text, vector: store.search(text, None, k=K, mode="text"),
        "hybrid": lambda text, vector: store.search(text, vector, k=K, mode="hybrid"),
        "hybrid_exact": lambda text, vector: store.search(text, vector, k=K, mode="hybrid", exact=True),
    }
    for ask in kinds.values():
        ask(queries[0], vectors[0])
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
    found: dict[str, list[set[tuple[str, int]]]] = {name: [] for name in kinds}
    for text, vector in zip(queries, vectors, strict=True):
        for name, ask in kinds.items():
            hits, wall, cpu = timed(lambda ask=ask, text=text, vector=vector: ask(text, vector))  # type: ignore[misc]
            times[name].append((wall, cpu))
            found[name].append(places(hits))
    for name in kinds:
        truth = found["hybrid_exact" if name.startswith("hybrid") else "exact"]
        shares = [len(got & true) / max(1, len(true)) for got, true in zip(found[name], truth, strict=True)]
        recall = {} if name == "text" else {"recall_at_10": round(statistics.fmean(shares), 4)}
        report("recall", mode=name, **recall, **summary(times[name]))


def tune(store: LanceStore, vectors: np.ndarray[Any, Any]) -> None:
    """Show what the knobs of a search do, on the table alone."""
    table = lancedb.connect(store.path).open_table("passages")
    truth = [_keys(vector_query(_near(table, vector), K, exact=True)) for vector in vectors]
    for knobs in KNOBS:
        times, shares = [], []
        for vector, true in zip(vectors, truth, strict=True):
            query = _near(table, vector).distance_type("cosine").limit(K)
            query = query.nprobes(knobs["nprobes"]).refine_factor(knobs["refine"])
            keys, wall, cpu = timed(lambda query=query: _keys(query))  # type: ignore[misc]
            times.append((wall, cpu))
            shares.append(len(keys & true) / K)
        report("recall_knobs", **knobs, recall_at_10=round(statistics.fmean(shares), 4), **summary(times))


def _near(table: Any, vector: np.ndarray[Any, Any]) -> Any:
    return table.search(vector, vector_column_name="vector")


def _keys(query: Any) -> set[int]:
    return set(query.select(["key", "_distance"]).to_arrow().column("key").to_pylist())


def precision(store: LanceStore, documents: list[Document], vectors: np.ndarray[Any, Any]) -> None:
    """Show what vectors with fewer bits lose: recall@10 of an exact comparison against 32 bits."""
    rng = np.random.default_rng(0)
    rows: list[np.ndarray[Any, Any]] = []
    for document in documents:
        rows.extend(store.vectors_of([document.id]).values())
    if not rows:  # a store that was kept, of a version that cut documents in another way
        return
    # What the store gives back has its bits already; a little noise below them makes 32-bit vectors again.
    full = np.stack(rows).astype(np.float32)
    full += rng.standard_normal(full.shape).astype(np.float32) * np.abs(full) * 2.0**-12
    full /= np.linalg.norm(full, axis=1, keepdims=True)
    scale = np.abs(full).max(axis=1, keepdims=True) / 127
    kinds = {
        "f16": full.astype(np.float16).astype(np.float32),
        "int8": (np.round(full / scale) * scale).astype(np.float32),
    }
    truth = np.argsort(-(vectors @ full.T), axis=1)[:, :K]
    for name, coded in kinds.items():
        got = np.argsort(-(vectors @ coded.T), axis=1)[:, :K]
        shares = [len(set(a) & set(b)) / K for a, b in zip(got.tolist(), truth.tolist(), strict=True)]
        report("precision", bits=name, passages=len(full), recall_at_10=round(statistics.fmean(shares), 4))


def main() -> int:
    """Fill, build, ask."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--files", action="append", default=[])
    parser.add_argument("--embedder", default="static")
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--keep")
    parser.add_argument("--knobs", action="store_true")
    options = parser.parse_args()
    embedder = load_embedder(options.embedder)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(options.keep or scratch) / "store"
        store, wall, _ = timed(
            lambda: filled_store(folder, documents_of(text_files(options.files)), embedder, options.passages)
        )
        report("recall_store", passages=store.count(), documents=store.documents(), seconds=round(wall, 1))
        _, wall, cpu = timed(lambda: store.optimise(idle=True))
        sizes = store.sizes()
        ratio = round(sizes["text_bytes"] / sizes["text_stored_bytes"], 2)
        report("recall_index", seconds=round(wall, 1), cpu_seconds=round(cpu, 1), text_ratio=ratio, **sizes)
        known = list(islice(documents_of(text_files(options.files)), 1000))
        queries = queries_of(known, options.queries)
        vectors = embedder.embed(queries)
        measure(store, queries, vectors)
        precision(store, known, vectors)
        if options.knobs:
            tune(store, vectors)
        store.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

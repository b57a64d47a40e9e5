"""A store of real passages for the benchmarks of searches."""

from __future__ import annotations

import os
import random
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from tenire.documents.prepare import PrepareOptions, prepare
from tenire.protocols import Batch, Document, SourceFile
from tenire.vectors import LanceStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tenire.protocols import Embedder

__all__ = ["documents_of", "filled_store", "text_files"]

_SUFFIXES = {".html", ".htm", ".txt", ".rst", ".md", ".py"}
_AT_ONCE = 4000


def text_files(folders: list[str], seed: int = 0) -> list[Path]:
    """Return the documents below some folders in random order; this Python's own sources where none are named."""
    roots = [Path(folder) for folder in folders] or [Path(sysconfig.get_path("stdlib"))]
    found = sorted(path for root in roots for path in root.rglob("*") if path.suffix in _SUFFIXES and path.is_file())
    random.Random(seed).shuffle(found)
    return found


def documents_of(files: list[Path]) -> Iterator[Document]:
    """Yield the documents that have passages, each content once."""
    seen: set[str] = set()
    for start in range(0, len(files), 64):
        listed = [_listed(path) for path in files[start : start + 64]]
        for made in prepare(listed, PrepareOptions(), {}):
            if isinstance(made, Document) and made.passages and made.id not in seen:
                seen.add(made.id)
                yield made


def _listed(path: Path) -> SourceFile:
    facts = path.stat()
    return SourceFile(os.fspath(path.absolute()), facts.st_size, facts.st_mtime_ns)


def filled_store(folder: Path, documents: Iterator[Document], embedder: Embedder, passages: int) -> LanceStore:
    """Return a store with about so many passages; one that is there is used as it is."""
    known = (folder / "format.json").exists()
    store = LanceStore(folder, dimension=embedder.dimension, embedder=embedder.identity)
    waiting: list[Document] = []
    total = store.count() if known else 0
    number = 0
    while total < passages:
        document = next(documents, None)
        if document is not None:
            waiting.append(document)
            total += len(document.passages)
        if waiting and (document is None or total >= passages or _count(waiting) >= _AT_ONCE):
            texts = [passage.text for each in waiting for passage in each.passages]
            store.commit(Batch(f"b{number}", tuple(waiting), embedder.embed(texts)))
            number, waiting = number + 1, []
        if document is None:
            break
    return store


def _count(documents: list[Document]) -> int:
    return sum(len(document.passages) for document in documents)

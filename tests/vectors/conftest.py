"""Small real documents with vectors that mean something, for the tests of the store."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tenire.protocols import Batch, Document, Passage, SourceFile
from tenire.vectors.store import LanceStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

DIMENSION = 32


@dataclass(frozen=True)
class Maker:
    """Makes documents and batches; texts that share words have near vectors."""

    dimension: int = DIMENSION

    def vector(self, text: str) -> NDArray[np.float32]:
        total = np.zeros(self.dimension, np.float32)
        for word in text.lower().split():
            total += np.random.default_rng(zlib.crc32(word.encode("utf-8", "surrogatepass"))).standard_normal(
                self.dimension
            )
        if not total.any():
            total[0] = 1
        return (total / np.linalg.norm(total)).astype(np.float32)

    def document(self, name: str, *texts: str) -> Document:
        passages, start = [], 0
        for ordinal, text in enumerate(texts):
            passages.append(Passage(ordinal, start, start + len(text), text))
            start += len(text)
        file = SourceFile(f"/docs/{name}.txt", start, 1)
        return Document(name, file, name, "", start, tuple(passages))

    def batch(self, name: str, *documents: Document, remove: tuple[str, ...] = ()) -> Batch:
        rows = [self.vector(passage.text) for document in documents for passage in document.passages]
        vectors = np.stack(rows) if rows else None
        return Batch(name, documents, vectors, remove)


@pytest.fixture
def make() -> Maker:
    return Maker()


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Callable[..., LanceStore]]:
    opened: list[LanceStore] = []

    def open_it(*, dimension: int | None = DIMENSION, embedder: str | None = "bag", create: bool = True) -> LanceStore:
        store = LanceStore(tmp_path / "store", dimension=dimension, embedder=embedder, create=create)
        opened.append(store)
        return store

    yield open_it
    for store in opened:
        store.close()

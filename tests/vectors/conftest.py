"""Small real documents with vectors that mean something, for the tests of the store."""

from __future__ import annotations

import pydoc_data.topics
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tenire.protocols import Batch, Document, Passage, SourceFile
from tenire.vectors.postgres.store import PostgresStore
from tenire.vectors.store import LanceStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

DIMENSION = 32
FOX = "the quick brown fox jumps over the lazy dog"
BOOK = "a well kept ledger settles every argument about money"
SEA = "herring gulls follow the trawlers into the harbour"


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


def python_documents(make: Maker, count: int) -> list[Document]:
    topics = sorted(pydoc_data.topics.topics.items())[:count]
    return [
        make.document(name, *[text[at : at + 800] for at in range(0, len(text), 800) if text[at : at + 800].strip()])
        for name, text in topics
    ]


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


@pytest.fixture(params=["lancedb", "postgresql"])
def open_any(
    request: pytest.FixtureRequest, tmp_path: Path, new_database: Callable[[], str]
) -> Iterator[Callable[..., Any]]:
    """Opens the test's own store, in a directory and then on a server."""
    opened: list[Any] = []
    address = new_database() if request.param == "postgresql" else ""

    def open_it(*, dimension: int | None = DIMENSION, embedder: str | None = "bag", create: bool = True) -> Any:
        options = {"dimension": dimension, "embedder": embedder, "create": create}
        store = PostgresStore(address, **options) if address else LanceStore(tmp_path / "store", **options)
        opened.append(store)
        return store

    yield open_it
    for store in opened:
        store.close()

"""A store in memory that keeps the promises of ``VectorStore``, and breaks down where a test says so."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tenire.protocols import Document, Passage, SourceFile, StoreCheck
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from tenire.protocols import Batch


class Crash(BaseException):
    """The process died here."""


class MemoryStore:
    """Rows of (document, ordinal, vector). What is in ``rows`` has survived every crash.

    ``crash_at``: ``"before commit"`` or ``"after commit"``; it strikes once.
    ``remembers_removals``: whether ``has_batch`` knows of batches that only removed;
    a store is free in this.
    """

    crash: type[Crash] = Crash

    def __init__(self) -> None:
        self.rows: list[tuple[str, int, float]] = []
        self.batches: set[str] = set()
        self.crash_at = ""
        self.remembers_removals = True
        self.commits: list[Batch] = []

    def _maybe_crash(self, where: str) -> None:
        if self.crash_at == where:
            self.crash_at = ""
            raise Crash(where)

    def commit(self, batch: Batch) -> None:
        self._maybe_crash("before commit")
        if batch.id not in self.batches:
            passages = [(document.id, passage.ordinal) for document in batch.documents for passage in document.passages]
            vectors = [] if batch.vectors is None else [float(row[0]) for row in batch.vectors]
            self.rows = [row for row in self.rows if row[0] not in batch.remove]
            self.rows += [(*passage, vector) for passage, vector in zip(passages, vectors, strict=True)]
            if passages or self.remembers_removals:
                self.batches.add(batch.id)
            self.commits.append(batch)
        self._maybe_crash("after commit")

    def has_batch(self, batch_id: str) -> bool:
        return batch_id in self.batches

    def check(self) -> StoreCheck:
        passages: dict[str, int] = {}
        for document, _, _ in self.rows:
            passages[document] = passages.get(document, 0) + 1
        return StoreCheck(passages, len(self.rows) - len({row[:2] for row in self.rows}))


def make_document(path: str, text: str, *, mtime_ns: int = 1, size: int | None = None) -> Document:
    """One passage per word; the id depends on the text alone, so equal texts are copies."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    words = text.split()
    passages = tuple(Passage(ordinal, 0, len(word), word) for ordinal, word in enumerate(words))
    file = SourceFile(path, len(text) if size is None else size, mtime_ns)
    return Document(f"d{digest[:12]}", file, digest, "", len(text), passages)


def make_vectors(*documents: Document) -> NDArray[np.float32] | None:
    """A row per passage, told apart by a hash of its text."""
    texts = [passage.text for document in documents for passage in document.passages]
    rows = [[int.from_bytes(hashlib.sha256(text.encode()).digest()[:2]), 0.0] for text in texts]
    return np.array(rows, dtype=np.float32) if rows else None


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def document() -> Callable[..., Document]:
    return make_document


@pytest.fixture
def vectors() -> Callable[..., NDArray[np.float32] | None]:
    return make_vectors


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(Home(tmp_path / "home")) as opened:
        yield opened

"""Which documents of a group have another one stand for them, since they are nearly the same.

1. The one that was stored first stands for the others, and of a group the first one.
   Groups are decided one after the other, in the order of the source, so a run that
   was killed and goes on decides as an undisturbed one does.
2. A document only stands for others as long as it is the whole of another source that
   does not change in this group: a file that was edited a little must not be taken for
   a copy of what it was.
3. Who stands for others has nobody stand for itself: there are no chains.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from tenire.core.near_duplicates import bands, near

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tenire.protocols import Document
    from tenire.storage.near_duplicates import NearTable
    from tenire.storage.records import Run

__all__ = ["StandIn", "represented", "stand_ins"]

StandIn = tuple[str, float]
"""The id of the document that stands for another one, and their similarity."""


def stand_ins(
    run: Run, documents: Iterable[Document], table: NearTable, *, threshold: float, changing: set[str]
) -> dict[str, StandIn]:
    """Find who stands for whom.

    Args:
        run: The run.
        documents: Documents that are not stored yet, in the order of the source, each id once.
        table: What is known of those that are.
        threshold: The least similarity that counts.
        changing: Paths of all sources that change in the same commit.

    Returns:
        By the id of a document, who stands for it.
    """
    found: dict[str, StandIn] = {}
    fresh = _Fresh()
    for document in documents:
        signature = document.findings.signature
        if not signature:
            continue
        known = table.candidates(run, signature, changing)
        best = _best(signature, (*known, *fresh.candidates(signature)), threshold)
        if best is None:
            fresh.add(document.id, signature)
        else:
            found[document.id] = best
    return found


def represented(document: Document, found: Mapping[str, StandIn]) -> Document:
    """Return a document under the id of the one that stands for it; itself if nobody does."""
    stand_in = found.get(document.id)
    if stand_in is None:
        return document
    return replace(document, id=stand_in[0], findings=replace(document.findings, similarity=stand_in[1]))


def _best(signature: bytes, candidates: Sequence[tuple[str, bytes]], threshold: float) -> StandIn | None:
    best: StandIn | None = None
    for document, other in candidates:
        similarity = near(signature, other, threshold)
        if similarity is not None and (best is None or similarity > best[1]):
            # Equal words make no equal files: equal ones never come here.
            best = document, min(similarity, 0.9999)
    return best


class _Fresh:
    """Documents of the same group, found by their bands."""

    def __init__(self) -> None:
        self._signatures: dict[str, bytes] = {}
        self._bands: dict[int, list[str]] = {}

    def add(self, document: str, signature: bytes) -> None:
        self._signatures[document] = signature
        for band in bands(signature):
            self._bands.setdefault(band, []).append(document)

    def candidates(self, signature: bytes) -> Iterator[tuple[str, bytes]]:
        shared = Counter(document for band in bands(signature) for document in self._bands.get(band, ()))
        for document, _ in shared.most_common(20):
            yield document, self._signatures[document]

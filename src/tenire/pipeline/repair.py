"""Makes a home whole again whose store was lost, restored or damaged behind its back.

Crashes never need this (see ``recovery``). A deleted store directory, an older
backup of one half, or a disk that lost writes in a power cut do.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tenire.pipeline.recovery import settle_pending
from tenire.protocols import Batch
from tenire.storage.records import Change, Intent

if TYPE_CHECKING:
    from tenire.protocols import VectorStore
    from tenire.storage.ledger import Ledger

__all__ = ["Repaired", "repair"]


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair changed.

    Attributes:
        forgotten: Sources that the next run does again.
        dropped: Documents that left ledger and store.
    """

    forgotten: int
    dropped: int


def repair(ledger: Ledger, store: VectorStore) -> Repaired:
    """Forget every document whose passages in the store are not what the ledger says, or are damaged.

    Their sources count as new, so the next run of their pipelines stores them
    again. A text index that does not agree with the passages is made anew. May
    be killed at any point and simply be called again.

    Args:
        ledger: The open ledger of a home whose lock is held.
        store: The store of the same home.

    Raises:
        StoreError: If ledger or store cannot be read or written.
    """
    settle_pending(ledger, store)
    expected, _ = ledger.sources.passages()
    check = store.check()
    stored = check.passages
    wrong = {document for document, count in expected.items() if stored.get(document, 0) != count}
    wrong |= check.damaged & expected.keys()
    orphans = stored.keys() - expected.keys()

    if check.unindexed:
        # A store finds by its index what it is to drop.
        store.reindex()
    forgotten = 0
    # The sources first: a kill after this leaves orphans, which the next repair finds.
    for pipeline, paths in ledger.sources.holders(wrong).items():
        ledger.batches.apply(Change(pipeline, removed=tuple(paths)))
        forgotten += len(paths)
    drop = tuple(sorted({*wrong, *orphans, *ledger.sources.abandoned()}))
    if drop:
        intent = Intent(uuid.uuid4().hex, Change("", drop=drop))
        ledger.batches.open(intent)
        store.commit(Batch(intent.id, (), None, drop))
        ledger.batches.settle(intent)
    return Repaired(forgotten, len(drop))

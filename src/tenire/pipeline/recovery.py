"""Settles what a crash left between the store and the ledger.

Every commit goes INTENT (ledger) → COMMIT (store) → DONE (ledger). An intent
without its "done" may or may not be in the store; only the store can tell:

1. The store has the batch: the change is made true.
2. It does not, and the batch would add passages: the intent is forgotten. All or
   nothing was the store's promise, so nothing happened; the sources are still as
   they were and are done again.
3. It does not, and the batch only removes: the removal is done again. Forgetting
   it would be wrong: a removal leaves no trace by which a store can tell that it
   happened, and a source that came back unchanged meanwhile would be believed to
   be stored. Removing twice is harmless.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tenire.protocols import Batch

if TYPE_CHECKING:
    from tenire.protocols import VectorStore
    from tenire.storage.ledger import Ledger

__all__ = ["Recovered", "recover", "settle_pending"]


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a recovery found.

    Attributes:
        kept: Batches that the store had, or now has.
        dropped: Batches that never reached the store; their sources are done again.
        interrupted: Runs that ended without a word.
    """

    kept: int
    dropped: int
    interrupted: int = 0


def recover(ledger: Ledger, store: VectorStore) -> Recovered:
    """Make ledger and store agree again; for the start of an engine, before any run.

    May itself be killed at any point and simply be called again.

    Raises:
        StoreError: If either of them cannot be read or written.
    """
    settled = settle_pending(ledger, store)
    return Recovered(settled.kept, settled.dropped, ledger.runs.mark_interrupted())


def settle_pending(ledger: Ledger, store: VectorStore) -> Recovered:
    """Settle every intent that is open; for a moment when no commit is under way.

    Raises:
        StoreError: If ledger or store cannot be read or written.
    """
    kept = dropped = 0
    for intent in ledger.batches.pending():
        has_it = store.has_batch(intent.id)
        if not has_it and intent.change.adds_passages:
            ledger.batches.abandon(intent)
            dropped += 1
            continue
        if not has_it:
            store.commit(Batch(intent.id, (), None, intent.change.drop))
        ledger.batches.settle(intent)
        kept += 1
    return Recovered(kept, dropped)

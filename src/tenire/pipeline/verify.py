"""Checks the ledger against the store, passage by passage, and against outputs, record by record."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenire.pipeline.rows.output_check import OutputsCheck
    from tenire.protocols import VectorStore
    from tenire.storage.ledger import Ledger

__all__ = ["VerifyReport", "verify"]


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a complete comparison found.

    Attributes:
        ok: Whether everything agrees.
        documents: Sources that are done; copies count.
        chunks: Passages in the store.
        missing: Passages that the ledger knows and the store lacks; here and in the next two,
            and in ``damaged``, records of outputs count, too.
        orphans: Passages in the store that no source accounts for.
        duplicates: Passages that are stored more than once.
        unindexed: Passages that an index lacks, or has in excess.
        damaged: Documents with a passage whose text is not what was stored, or without a vector.
        pending: Batches that a crash left open (or that an engine is writing now).
            What they would add or drop is neither missing nor orphaned: the next
            start settles it.
        details: What is wrong, for people.
    """

    ok: bool
    documents: int
    chunks: int
    missing: int
    orphans: int
    duplicates: int
    unindexed: int = 0
    damaged: int = 0
    pending: int = 0
    details: tuple[str, ...] = ()

    def with_outputs(self, outputs: OutputsCheck) -> VerifyReport:
        """Return the report with what a look at the outputs has found."""
        return replace(
            self,
            ok=self.ok and outputs.ok,
            missing=self.missing + outputs.missing,
            orphans=self.orphans + outputs.orphans,
            duplicates=self.duplicates + outputs.duplicates,
            damaged=self.damaged + outputs.damaged,
            details=(*self.details, *outputs.details),
        )

    def as_json(self) -> dict[str, bool | int]:
        """Return the object that ``tenire verify --json`` prints."""
        return {
            "ok": self.ok,
            "documents": self.documents,
            "chunks": self.chunks,
            "missing": self.missing,
            "orphans": self.orphans,
            "duplicates": self.duplicates,
        }


def verify(ledger: Ledger, store: VectorStore) -> VerifyReport:
    """Compare everything that the ledger says with everything that the store holds.

    Exact while no engine runs on the home. While one runs, batches that begin
    during the comparison may show as differences.

    Raises:
        StoreError: If ledger or store cannot be read.
    """
    with ledger.snapshot():
        expected, done = ledger.sources.passages()
        pending = ledger.batches.pending()
    coming = {row.id for intent in pending for row in intent.change.add}
    going = {document for intent in pending for document in intent.change.drop}
    check = store.check()

    details: list[str] = []
    missing = orphans = excess = 0
    for document, count in expected.items():
        stored = check.passages.get(document, 0)
        if stored < count and document not in going:
            missing += count - stored
            details.append(f"document {document} has {stored} of {count} passages in the store")
        excess += max(0, stored - count)
    for document, stored in check.passages.items():
        if document not in expected and document not in coming and document not in going:
            orphans += stored
            details.append(f"document {document} has {stored} passages in the store, but no source")
    # A passage that is stored twice is in excess too, and is reported as what it is.
    orphans += max(0, excess - check.duplicates)
    if pending:
        details.append(f"{len(pending)} batches were interrupted; the next run settles them")
    return VerifyReport(
        ok=not (missing or orphans or check.duplicates or check.unindexed or check.damaged),
        documents=done,
        chunks=sum(check.passages.values()),
        missing=missing,
        orphans=orphans,
        duplicates=check.duplicates,
        unindexed=check.unindexed,
        damaged=len(check.damaged),
        pending=len(pending),
        details=(*details, *check.details),
    )

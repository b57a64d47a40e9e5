"""Whether a listed file needs work: a pure decision.

====================  ======================  =============================
size and time         the ledger says         decision
====================  ======================  =============================
any                   nothing                 new
any                   another recipe          changed
any                   to be tried again       changed
both as before        done                    unchanged
both as before        quarantined             quarantined (not tried again)
only the time moved   done or quarantined     touched: the hash decides
only the time moved   no hash (unreadable)    changed
size differs          done or quarantined     changed
====================  ======================  =============================

"Both as before" for a racy row (see ``storage.records.is_racy``) is "touched".
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from tenire.storage.records import SourceState

if TYPE_CHECKING:
    from tenire.protocols import SourceFile
    from tenire.storage.records import SourceRow

__all__ = ["Decision", "classify"]


class Decision(StrEnum):
    """What to do with a file."""

    NEW = "new"
    CHANGED = "changed"
    TOUCHED = "touched"
    UNCHANGED = "unchanged"
    QUARANTINED = "quarantined"


def classify(file: SourceFile, row: SourceRow | None, *, recipe: str) -> Decision:
    """Decide what to do with a file.

    Args:
        file: The file as listed.
        row: What the ledger knows about it.
        recipe: Identity of what the pipeline does to a source.

    Returns:
        ``NEW`` and ``CHANGED`` need work. ``TOUCHED`` needs the hash of its
        content: equal to the row's, the file counts as unchanged (or stays in
        quarantine) and ``SourceTable.touched`` notes its time; otherwise it is
        changed. ``UNCHANGED`` and ``QUARANTINED`` need nothing.
    """
    if row is None:
        return Decision.NEW
    if row.recipe != recipe or row.state is SourceState.RETRY or row.size != file.size:
        return Decision.CHANGED
    if not row.content_hash:
        # Its content was never read, so there is nothing to compare with; only its time can tell.
        return Decision.QUARANTINED if row.mtime_ns == file.mtime_ns else Decision.CHANGED
    if row.mtime_ns != file.mtime_ns or row.racy:
        return Decision.TOUCHED
    return Decision.UNCHANGED if row.state is SourceState.DONE else Decision.QUARANTINED

"""How documents are put together: groups, which are embedded and committed as one.

The fuller a group is, the better texts of equal length meet in one call of the model
and the fewer versions the store has; but all of it is lost if the engine is killed
before its commit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tenire.protocols import Document, Rejection, Unchanged, Unpacked

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextlib import AsyncExitStack

    from tenire.pipeline.lister import Work
    from tenire.pipeline.vectorise import UnusableTextError

__all__ = ["Group", "apart"]


@dataclass(slots=True)
class Group:
    """What is committed together.

    Attributes:
        documents: Documents, copies included.
        rejections: Files that cannot be used.
        unchanged_done: Touched files whose content is what it was, and is stored.
        unchanged_rejected: The same, and is in quarantine.
        replaced: Documents that the sources of this group had before.
        passages: Passages of all documents.
        holds: The room that its batches hold until it is committed.
    """

    documents: list[Document] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    unchanged_done: list[Unchanged] = field(default_factory=list)
    unchanged_rejected: list[Unchanged] = field(default_factory=list)
    replaced: set[str] = field(default_factory=set)
    passages: int = 0
    holds: list[AsyncExitStack] = field(default_factory=list)

    def add(
        self,
        work: Sequence[Work],
        results: Iterable[Document | Rejection | Unchanged | Unpacked],
        held: AsyncExitStack,
    ) -> None:
        """Add what came of a batch; ``results`` are in the order of ``work``.

        Of a container that was not read to its end, only the members are added.
        """
        for item, result in zip(work, results, strict=True):
            if isinstance(result, Unpacked):
                self.put(*result.members)
                if result.following is None:
                    self.put(result.container)
            elif isinstance(result, Document | Rejection):
                self.put(result)
            elif item.was_done:
                self.unchanged_done.append(result)
            else:
                self.unchanged_rejected.append(result)
            if item.old_document is not None and not isinstance(result, Unchanged):
                self.replaced.add(item.old_document)
        self.holds.append(held)

    def put(self, *results: Document | Rejection) -> None:
        """Add documents, or why they cannot be used."""
        for result in results:
            if isinstance(result, Document):
                self.documents.append(result)
                self.passages += len(result.passages)
            else:
                self.rejections.append(result)


def apart(
    documents: list[Document], rejections: list[Rejection], error: UnusableTextError
) -> tuple[list[Document], list[Rejection]]:
    """Return the documents without those that hold a text for which there is no vector, and all rejections."""
    kept, refused = [], list(rejections)
    for document in documents:
        why = next((error.reasons[one.text] for one in document.passages if one.text in error.reasons), None)
        if why is None:
            kept.append(document)
        else:
            refused.append(Rejection(document.file, "embed", why, document.content_hash))
    return kept, refused

"""What comes of listing a source: chunks, and the batches that their work is cut into.

A *chunk* is what one look at the source and at the ledger brings. A *batch* goes through
the run together, and files of one to a worker process in one message: large enough that
the message costs nothing, small enough that a worker that dies takes little with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

__all__ = ["BATCH_BYTES", "BATCH_ITEMS", "Chunk", "Sized", "batches", "bytes_held"]

BATCH_BYTES = 256 << 10
BATCH_ITEMS = 64

_BYTES_HELD_PER_BYTE = 4
"""A byte of an item is held up to four times: as read, as text or fields, as what is sent on, as what comes back."""


class Sized(Protocol):
    """An item that has to be worked on."""

    @property
    def size(self) -> int:
        """Its bytes, as the source tells them."""
        ...


W = TypeVar("W", bound=Sized)


@dataclass(slots=True)
class Chunk:
    """Some listed items, counted by what is to be done with them.

    Attributes:
        seen: Items in all.
        seen_bytes: Their bytes, where items have some that count.
        unchanged: Items that need nothing.
        unchanged_bytes: Bytes of those and of the quarantined ones.
        quarantined: Items that are in quarantine and did not change.
        reasons: What files among those are counted under: how many by rule, or else by stage.
        skipped: What is no item; not part of ``seen``.
    """

    seen: int = 0
    seen_bytes: int = 0
    unchanged: int = 0
    unchanged_bytes: int = 0
    quarantined: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    skipped: int = 0


def batches(
    work: Iterable[W], *, most: Callable[[], int] = lambda: BATCH_BYTES, items: int = BATCH_ITEMS
) -> Iterator[list[W]]:
    """Cut work into batches; an item that is larger than one is a batch by itself.

    Args:
        work: The items.
        most: Returns the bytes that make a batch full; asked for each batch. Its items are as many
            as ``items`` for ``BATCH_BYTES``.
        items: Most items of a batch of the usual size.
    """
    batch: list[W] = []
    size, full = 0, most()
    for item in work:
        if batch and (size + item.size > full or len(batch) >= max(1, full * items // BATCH_BYTES)):
            yield batch
            batch, size, full = [], 0, most()
        batch.append(item)
        size += item.size
    if batch:
        yield batch


def bytes_held(batch: Sequence[Sized]) -> int:
    """Return the bytes of memory that a batch takes, at most, until it is committed."""
    return sum(item.size for item in batch) * _BYTES_HELD_PER_BYTE

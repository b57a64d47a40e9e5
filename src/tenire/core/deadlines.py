"""When things are due: one heap with lazy deletion.

1. Entries come out ordered by (due, order of adding), never before they are due.
2. A cancelled entry never comes out.
3. The heap holds at most twice the live entries plus ``SLACK`` (trio's rule for
   its cancel scopes: prune when more than half is stale).

Times are whole numbers of nanoseconds: floats lose resolution as they grow.
"""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

__all__ = ["SLACK", "DeadlineHeap", "Entry"]

SLACK = 1000
Payload = TypeVar("Payload")


class Entry(Generic[Payload]):
    """One thing that is due at a time.

    Attributes:
        due: Nanoseconds.
        payload: What is due; ``None`` once the entry was cancelled or came out.
    """

    __slots__ = ("due", "payload")

    def __init__(self, due: int, payload: Payload) -> None:
        self.due = due
        self.payload: Payload | None = payload


class DeadlineHeap(Generic[Payload]):
    """A priority queue of entries by due time.

    Attributes:
        live: Entries that were neither cancelled nor taken.
    """

    __slots__ = ("_heap", "_seq", "live")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Entry[Payload]]] = []
        self._seq = 0
        self.live = 0

    def add(self, due: int, payload: Payload) -> Entry[Payload]:
        """Add something that is due at ``due`` nanoseconds; return its entry."""
        entry = Entry(due, payload)
        self._seq += 1
        heapq.heappush(self._heap, (due, self._seq, entry))
        self.live += 1
        return entry

    def cancel(self, entry: Entry[Payload]) -> bool:
        """Cancel an entry; return whether it was still to come."""
        if entry.payload is None:
            return False
        entry.payload = None
        self.live -= 1
        if len(self._heap) > 2 * self.live + SLACK:
            self._heap = [item for item in self._heap if item[2].payload is not None]
            heapq.heapify(self._heap)
        return True

    def next_due(self) -> int | None:
        """Return when the next entry is due, in nanoseconds, or ``None``."""
        heap = self._heap
        while heap and heap[0][2].payload is None:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def first(self) -> Payload | None:
        """Return what is due next, or ``None``, and leave it there."""
        return None if self.next_due() is None else self._heap[0][2].payload

    def pop_due(self, now: int) -> list[Payload]:
        """Take out everything that is due at ``now`` nanoseconds, in order."""
        due: list[Payload] = []
        heap = self._heap
        while heap and (heap[0][0] <= now or heap[0][2].payload is None):
            entry = heapq.heappop(heap)[2]
            payload = entry.payload
            if payload is not None:
                entry.payload = None
                self.live -= 1
                due.append(payload)
        return due

    def __len__(self) -> int:
        return self.live

    def check(self) -> None:
        """Verify the rules."""
        assert self.live == sum(item[2].payload is not None for item in self._heap)
        assert len(self._heap) <= 2 * self.live + SLACK + 1
        assert all(self._heap[(child - 1) // 2][:2] <= self._heap[child][:2] for child in range(1, len(self._heap)))

"""When things are due: one heap with lazy deletion.

1. Nothing comes out before it is due. What comes out together is ordered by (due,
   order of adding).
2. A cancelled entry never comes out.
3. The heap holds at most twice the live entries plus ``SLACK`` (trio's rule for
   its cancel scopes: prune when more than half is stale).
4. An entry may have slack: it is due at ``due`` and must come out by ``due + slack``.
   ``next_due`` is the earliest of those latest times, so that entries whose times
   overlap come out together (as the high-resolution timers of Linux do it).

Times are whole numbers of nanoseconds: floats lose resolution as they grow.

Whoever shares a heap between threads must hold a lock around each method. A lock that
the same thread may take again is enough: a finaliser that runs in the middle of a
method may call any other one.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from itertools import count
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    _Item = tuple[int, int, Any]  # latest, order of adding, entry

__all__ = ["SLACK", "DeadlineHeap", "Entry"]

SLACK = 1000
Payload = TypeVar("Payload")
_by_due_and_order = itemgetter(0, 1)


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

    __slots__ = ("_heap", "_order", "live")

    def __init__(self) -> None:
        self._heap: list[_Item] = []
        self._order = count()
        self.live = 0

    def add(self, due: int, payload: Payload, slack: int = 0) -> Entry[Payload]:
        """Add something that is due at ``due`` nanoseconds; return its entry."""
        entry = Entry(due, payload)
        self.put(entry, due + slack if slack else due)  # a sum would be one more object in memory
        return entry

    def put(self, entry: Entry[Payload], latest: int) -> None:
        """Add an entry that was made elsewhere, or that came out before.

        Args:
            entry: With its due time and a payload.
            latest: By when it must come out, nanoseconds; ``due``, and its slack.
        """
        item = (latest, next(self._order), entry)
        # Between these two nothing can interrupt: Ctrl-C comes when a call has returned.
        self.live += 1
        heappush(self._heap, item)

    def cancel(self, entry: Entry[Payload]) -> bool:
        """Cancel an entry; return whether it was still to come."""
        if entry.payload is None:
            return False
        entry.payload = None
        self.live -= 1
        if len(self._heap) > 2 * self.live + SLACK:
            self._rebuild()
        return True

    def next_due(self) -> int | None:
        """Return by when the next entry must come out, in nanoseconds, or ``None``."""
        heap = self._heap
        while heap and heap[0][2].payload is None:
            heappop(heap)
            heap = self._heap
        return heap[0][0] if heap else None

    def first(self) -> Payload | None:
        """Return what is due next, or ``None``, and leave it there."""
        return None if self.next_due() is None else self._heap[0][2].payload

    def pop_due(self, now: int) -> list[Payload]:
        """Take out everything that is due at ``now`` nanoseconds, in order."""
        return [payload for _, payload in self.take_due(now)]

    def take_due(self, now: int, most: int | None = None) -> list[tuple[Any, Payload]]:
        """Take out entries that are due at ``now`` nanoseconds; return each with its payload, in order.

        What has slack left and stands behind something that is not due may stay.

        Args:
            now: Nanoseconds.
            most: How many at the most; ``None``: all of them.
        """
        due: list[tuple[int, int, Any, Payload]] = []
        heap = self._heap
        while heap and (heap[0][2].due <= now or heap[0][2].payload is None) and len(due) != most:
            _, order, entry = heappop(heap)
            payload = entry.payload
            if payload is not None:
                entry.payload = None
                self.live -= 1
                due.append((entry.due, order, entry, payload))
            heap = self._heap
        due.sort(key=_by_due_and_order)
        return [(entry, payload) for _, _, entry, payload in due]

    def bring_forward(self, by: int, which: Callable[[Any], bool]) -> None:
        """Make entries due ``by`` nanoseconds sooner.

        Args:
            by: Nanoseconds.
            which: Returns whether an entry is one of them.
        """

        def sooner(item: _Item) -> _Item:
            latest, order, entry = item
            if not which(entry):
                return item
            entry.due -= by
            return latest - by, order, entry

        self._rebuild(sooner)

    def _rebuild(self, changed: Callable[[_Item], _Item] | None = None) -> None:
        # What a finaliser adds meanwhile goes into a heap of its own.
        stale, self._heap = self._heap, []
        rebuilt = stale  # unless this is interrupted
        try:
            kept = [item for item in stale if item[2].payload is not None]
            if changed is not None:
                kept = [changed(item) for item in kept]
            heapify(kept)
            rebuilt = kept
        finally:
            added, self._heap = self._heap, rebuilt
            for item in added:
                heappush(self._heap, item)

    def __len__(self) -> int:
        return self.live

    def check(self) -> None:
        """Verify the rules."""
        assert self.live == sum(item[2].payload is not None for item in self._heap)
        assert len(self._heap) <= 2 * self.live + SLACK + 1
        assert all(item[0] >= item[2].due for item in self._heap if item[2].payload is not None)
        assert all(self._heap[(child - 1) // 2][:2] <= self._heap[child][:2] for child in range(1, len(self._heap)))

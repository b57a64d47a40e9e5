"""Which items go into one batch, and when it starts.

::

    add ──► queue ──────────────────────┐
                                        ├──► take ──► runs ──► end
    halves of batches that failed ──────┘               └────► fail ──► halves, or the
                                                                        one bad item

1. An item is in exactly one place: in the queue, in a batch that runs, or in a half that
   waits. Items leave the queue in the order in which they came.
2. At most ``places`` batches run. Halves go before the queue, and are not mixed with it.
3. While no batch runs, or the queue holds a full batch, one starts at once. Otherwise the
   first item waits for others, but never for longer than ``max_delay``, nor until its
   deadline could not be met any more, nor for longer than it takes to fill the batch at
   the rate at which items came lately (the queue delay of NVIDIA's Triton server, bounded
   by what can be won).
4. Items of a batch weigh no more than ``most_weight`` together, unless there is only one.
   A queue that weighs as much holds a full batch.
5. A batch that failed is cut in two, until the item that makes it fail is alone: ``b`` bad
   items of ``n`` cost at most ``2 b (log2 n + 1)`` further calls.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from tenire.core.batch_size import BatchSize

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Batch", "Batching"]

Item = TypeVar("Item")

_GAP_WEIGHT = 0.2  # of the newest gap between two items in the average
_SLACK = 1.5  # a batch may well take half as long again as they take on average
_NEVER = float("inf")


class Batch(Generic[Item]):
    """Items that go together.

    Attributes:
        items: In the order in which they came; never empty.
        started: Seconds.
    """

    __slots__ = ("items", "started")

    def __init__(self, items: list[Item], started: float) -> None:
        self.items = items
        self.started = started


class Batching(Generic[Item]):
    """Gathers items into batches.

    Args:
        most: Items that a batch may have.
        max_delay: Seconds that an item may wait for others while a batch runs.
        target: Seconds that a batch should take at the most; its size adapts to that.
        places: Batches that may run at the same time.
        most_weight: What the items of a batch may weigh; ``None`` for any weight.

    Attributes:
        running: Batches that run.

    Raises:
        ValueError: If an argument is impossible.
    """

    __slots__ = (
        "_gap", "_halves", "_latest", "_max_delay", "_most_weight", "_places", "_queue", "_size", "_took",
        "_weight", "running",
    )  # fmt: skip

    def __init__(
        self,
        *,
        most: int = 64,
        max_delay: float = 0.005,
        target: float | None = None,
        places: int = 1,
        most_weight: int | None = None,
    ) -> None:
        for name, number in (("most", most), ("places", places)):
            if number != int(number) or number < 1:
                raise ValueError(f"{name} must be a whole number from 1, got {number!r}")
        if not 0 <= max_delay < _NEVER:
            raise ValueError(f"max_delay must be zero or more seconds, got {max_delay!r}")
        if target is not None and not 0 < target < _NEVER:
            raise ValueError(f"target must be a positive number of seconds, got {target!r}")
        if most_weight is not None and (most_weight != int(most_weight) or most_weight < 1):
            raise ValueError(f"most_weight must be a whole number from 1, or None, got {most_weight!r}")
        self._size = BatchSize(most=most, target=target)
        self._max_delay = max_delay
        self._places = places
        self._most_weight = _NEVER if most_weight is None else most_weight
        self._weight = 0  # of the queue
        self._queue: deque[tuple[Item, float, float, int]] = deque()  # item, when it came, deadline, weight
        self._halves: list[list[Item]] = []
        self._latest = -_NEVER  # when the last item came
        self._gap = 0.0  # seconds between two items, averaged
        self._took = 0.0  # seconds that a batch takes, averaged
        self.running = 0

    @property
    def limit(self) -> int:
        """Items that a batch may have now."""
        return self._size.limit

    def __len__(self) -> int:
        return len(self._queue) + sum(map(len, self._halves))

    def add(self, item: Item, now: float, deadline: float = _NEVER, weight: int = 0) -> None:
        """Put an item at the end of the queue; ``deadline`` is when its batch must have ended."""
        if self._latest > -_NEVER:
            self._gap += _GAP_WEIGHT * (max(0.0, now - self._latest) - self._gap)
        self._latest = now
        self._queue.append((item, now, deadline, weight))
        self._weight += weight

    def remove(self, item: Item) -> bool:
        """Take an item out; return whether it was waiting."""
        for place, (other, _, _, weight) in enumerate(self._queue):
            if other is item:
                del self._queue[place]
                self._weight -= weight
                return True
        for place, half in enumerate(self._halves):
            left = [other for other in half if other is not item]
            if len(left) < len(half):
                self._halves[place : place + 1] = [left] if left else []
                return True
        return False

    def due_at(self) -> float:
        """Return when ``take`` has something, seconds; infinite if something must happen first."""
        if self.running >= self._places or not (self._halves or self._queue):
            return _NEVER
        queue, lacking = self._queue, self._size.limit - len(self._queue)
        if self._halves or lacking <= 0 or not self.running or self._weight >= self._most_weight:
            return -_NEVER
        pressing = min(deadline for _, _, deadline, _ in queue) - _SLACK * self._took
        return min(queue[0][1] + self._max_delay, pressing, self._latest + self._gap * lacking)

    def take(self, now: float) -> Batch[Item] | None:
        """Return the batch that starts now, if there is one."""
        if now < self.due_at():
            return None
        items = self._halves.pop() if self._halves else self._next()
        self.running += 1
        return Batch(items, now)

    def _next(self) -> list[Item]:
        queue, weight = self._queue, 0
        items: list[Item] = []
        while queue and len(items) < self._size.limit:
            weight += queue[0][3]
            if items and weight > self._most_weight:
                break
            item, _, _, own = queue.popleft()
            self._weight -= own
            items.append(item)
        return items

    def end(self, batch: Batch[Item], now: float) -> None:
        """Record that a batch ended well."""
        self.running -= 1
        took = max(0.0, now - batch.started)
        self._took = took if not self._took else self._took + _GAP_WEIGHT * (took - self._took)
        self._size.end(len(batch.items), batch.started, now)

    def fail(self, batch: Batch[Item], wanted: Sequence[Item] | None = None) -> Item | None:
        """Record that a batch failed because of an item in it.

        Args:
            batch: The batch.
            wanted: Those of its items that may run again; default: all.

        Returns:
            That item, if it was alone. Otherwise ``None``: both halves run again.
        """
        self.running -= 1
        if len(batch.items) == 1:
            return batch.items[0]
        # One that is left of several may not be the bad one: it runs again too.
        items = list(batch.items if wanted is None else wanted)
        middle = len(items) // 2
        self._halves += [half for half in (items[middle:], items[:middle]) if half]  # the first half is taken first
        return None

    def give_up(self, batch: Batch[Item]) -> None:
        """Record that a batch failed, and not because of an item in it."""
        self.running -= 1

    def check(self) -> None:
        """Verify the rules."""
        self._size.check()
        assert 0 <= self.running <= self._places
        assert all(self._halves)
        assert self._weight == sum(weight for _, _, _, weight in self._queue)
        assert self._gap >= 0.0
        assert self._took >= 0.0

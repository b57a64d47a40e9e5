"""Where each blob lies, in memory or on disk, and which of them has to move.

::

             fits                room is needed              written
    place ─────────► MEMORY ──────────────────────► MOVING ──────────► DISK
      │                ▲                              │                  ▲
      │                └── written, but failed or ────┘                  │
      │ does not fit       opened meanwhile                      written │
      └────────────────────────────────────────────► WRITING ────────────┘

1. What is in memory gives way to whoever waits for bytes, and comes back to memory never:
   a file that is read often is kept in memory by the operating system.
2. Of those that may move, the one that was used longest ago goes first.
3. A blob that is open does not move, unless somebody asks for just that (``move``).
4. ``disk``, the bytes that lie there or are on their way, never exceeds its limit.
5. A blob that is released while it is open or being written is forgotten at the end of that.
6. After a write has failed, nothing moves for ``PAUSE_S``.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import IntEnum
from typing import TYPE_CHECKING

from tenire.errors import ConfigError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tenire.core.fair_share import PipelineShare

__all__ = ["PAUSE_S", "Place", "Spilling", "shortage"]

PAUSE_S = 10.0


class Place(IntEnum):
    """Where a blob is."""

    MEMORY = 0
    MOVING = 1
    WRITING = 2
    DISK = 3


class _Blob:
    """What is known of one blob."""

    __slots__ = ("asked", "open", "place", "released", "size")

    def __init__(self, size: int, place: Place) -> None:
        self.size = size
        self.asked = False
        self.place = place
        self.open = 0
        self.released = False

    @property
    def over(self) -> bool:
        """Whether it can be forgotten."""
        return self.released and not self.open and self.place in (Place.MEMORY, Place.DISK)


class Spilling:
    """Decides where blobs lie; whoever owns their bytes carries it out and reports.

    Args:
        most: Bytes that may lie on disk.

    Attributes:
        most: As given.
        memory: Bytes of the blobs in memory, those that move included.
        disk: Bytes of those on disk, and on their way there.
        spilled: Blobs that left memory so far.
        spilled_bytes: Their bytes.

    Raises:
        ConfigError: If the limit is impossible.
    """

    __slots__ = ("_blobs", "_moving", "_not_before", "_order", "disk", "memory", "most", "spilled", "spilled_bytes")

    def __init__(self, most: int) -> None:
        if not 0 <= most < float("inf"):
            message = f"the limit of what may lie on disk must be a number of bytes from 0, got {most!r}"
            raise ConfigError(message, key="spill")
        self.most = most
        self.memory = self.disk = self.spilled = self.spilled_bytes = 0
        self._moving = 0  # bytes
        self._blobs: dict[int, _Blob] = {}
        self._order: OrderedDict[int, None] = OrderedDict()  # in MEMORY and not open, used longest ago first
        self._not_before = float("-inf")

    def __len__(self) -> int:
        return len(self._blobs)

    def place_of(self, blob: int) -> Place:
        """Return where a blob is."""
        return self._blobs[blob].place

    def is_released(self, blob: int) -> bool:
        """Return whether nobody needs a blob any more that is still open or being written."""
        return self._blobs[blob].released

    # -- coming and going -------------------------------------------------

    def place(self, blob: int, size: int, *, room: int) -> Place:
        """Take in a blob: into ``MEMORY`` if there is room for it, else ``WRITING``.

        Raises:
            RejectedError: If it fits neither memory nor disk.
        """
        if size <= room:
            self._blobs[blob] = _Blob(size, Place.MEMORY)
            self._order[blob] = None
            self.memory += size
            return Place.MEMORY
        if self.disk + size > self.most:
            message = (
                f"a blob of {size:,} bytes fits neither memory ({max(0, room):,} bytes are free) nor disk "
                f"({self.most - self.disk:,} of {self.most:,} bytes are free)"
            )
            raise RejectedError(message, hint="release blobs that are not needed any more, or give the engine more")
        self._blobs[blob] = _Blob(size, Place.WRITING)
        self.disk += size
        return Place.WRITING

    def opened(self, blob: int) -> None:
        """Take in that a blob is in use until ``closed``."""
        self._blobs[blob].open += 1
        self._order.pop(blob, None)

    def closed(self, blob: int) -> bool:
        """Take in that one use has ended; return whether the blob is to be dropped, forgotten by now."""
        known = self._blobs[blob]
        known.open -= 1
        if not known.open and known.place == Place.MEMORY:
            self._order[blob] = None
        return self._forget_if_over(blob, known)

    def release(self, blob: int) -> bool:
        """Take in that nobody needs a blob any more; return whether it is to be dropped, forgotten by now."""
        known = self._blobs[blob]
        known.released = True
        self._order.pop(blob, None)
        return self._forget_if_over(blob, known)

    def _forget_if_over(self, blob: int, known: _Blob) -> bool:
        if not known.over:
            return False
        del self._blobs[blob]
        self._order.pop(blob, None)
        if known.place == Place.MEMORY:
            self.memory -= known.size
        else:
            self.disk -= known.size
        return True

    # -- moving -----------------------------------------------------------

    def make_room(self, size: int, now: float) -> list[int]:
        """Return the blobs to write to disk so that, with those under way, ``size`` bytes come free.

        They count as moving until ``written``. They are fewer if there are no others that
        may move, or the disk has no room.
        """
        chosen: list[int] = []
        if now < self._not_before:
            return chosen
        for blob in self._order:
            if self._moving >= size:
                break
            known = self._blobs[blob]
            if known.size and self.disk + known.size <= self.most:
                self._begin(known)
                chosen.append(blob)
        for blob in chosen:
            del self._order[blob]
        return chosen

    def move(self, blob: int) -> bool:
        """Have one blob moved, also if it is open; return whether it is to be written for that.

        Raises:
            RejectedError: If the disk has no room for it.
        """
        known = self._blobs[blob]
        if known.place in (Place.MEMORY, Place.MOVING):
            known.asked = True
        if known.place != Place.MEMORY:
            return False
        if self.disk + known.size > self.most:
            free = self.most - self.disk
            message = f"a blob of {known.size:,} bytes does not fit the disk ({free:,} of {self.most:,} bytes are free)"
            raise RejectedError(message, hint="release blobs that are not needed any more")
        self._begin(known)
        self._order.pop(blob, None)
        return True

    def _begin(self, known: _Blob) -> None:
        known.place = Place.MOVING
        self._moving += known.size
        self.disk += known.size

    def written(self, blob: int, now: float, *, well: bool) -> tuple[bool, bool]:
        """Take in that the writing of a blob has ended.

        Args:
            blob: One that moves or is written.
            now: Seconds on a clock that never goes back.
            well: Whether it is on disk now.

        Returns:
            Whether its file holds, and whether the blob is to be dropped, forgotten by now.
        """
        known = self._blobs[blob]
        if not well:
            self._not_before = now + PAUSE_S
        if known.place == Place.WRITING:
            known.place = Place.DISK
            known.released |= not well
            return well, self._forget_if_over(blob, known)
        self._moving -= known.size
        if well and (known.asked or not known.open):
            known.place = Place.DISK
            self.memory -= known.size
            self.spilled += 1
            self.spilled_bytes += known.size
            return True, self._forget_if_over(blob, known)
        known.place = Place.MEMORY
        self.disk -= known.size
        if not known.open and not known.released:
            self._order[blob] = None
        return False, self._forget_if_over(blob, known)

    def check(self) -> None:
        """Verify the rules."""
        blobs = self._blobs.values()
        in_memory = [blob for blob in blobs if blob.place in (Place.MEMORY, Place.MOVING)]
        assert self.memory == sum(blob.size for blob in in_memory)
        assert self.disk == sum(blob.size for blob in blobs if blob.place != Place.MEMORY) <= self.most
        assert self._moving == sum(blob.size for blob in blobs if blob.place == Place.MOVING)
        assert not any(blob.over for blob in blobs)
        may_move = {
            key for key, blob in self._blobs.items()
            if blob.place == Place.MEMORY and not blob.open and not blob.released
        }  # fmt: skip
        assert self._order.keys() == may_move


def shortage(backlogged: Iterable[PipelineShare], index: int, free: int, now: float) -> int:
    """Return how much of a resource would have to come free for every task that is next somewhere.

    Args:
        backlogged: The pipelines with work waiting.
        index: The resource.
        free: How much of it is free.
        now: Seconds on a clock that never goes back.
    """
    most = 0
    for pipeline in backlogged:
        if pipeline.suspended is not None:
            continue
        for lane in pipeline.queue.lanes.values():
            if lane.size and lane.mask >> index & 1 and (task := lane.head(now)) is not None:
                most = max(most, *(amount for needed, amount in task.needs if needed == index))
    return max(0, most - free)

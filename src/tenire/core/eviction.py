"""What a bounded cache keeps: the entries that were used last, none for too long.

1. The sizes of all entries together never exceed the capacity.
2. To make room, the entry that was used longest ago goes first.
3. An entry that is ``ttl`` seconds old is gone: nobody finds it any more.
4. An entry larger than the whole capacity is not kept; it drives out no other.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Generic, TypeVar, cast

from tenire.core.tasks import is_number
from tenire.errors import ConfigError

__all__ = ["Eviction"]

Key = TypeVar("Key")


class Eviction(Generic[Key]):
    """Decides which entries go; whoever owns the values drops them.

    Args:
        capacity: Bytes that all entries may have together.
        ttl: Seconds that an entry may stay, or ``None`` for any time.

    Attributes:
        capacity: As given.
        ttl: As given.
        used: Bytes of all entries.
        hits: How often a key was found.
        misses: How often it was not.
        evicted: Entries that went to make room, or were too large to be kept.
        expired: Entries that were too old.

    Raises:
        ConfigError: If a number is impossible.
    """

    __slots__ = ("_born", "_sizes", "capacity", "evicted", "expired", "hits", "misses", "ttl", "used")

    def __init__(self, capacity: int, *, ttl: float | None = None) -> None:
        bytes_, seconds = cast("Any", capacity), cast("Any", ttl)
        if not is_number(bytes_) or not 0 < bytes_ < float("inf"):
            message = f"the capacity of a cache must be a positive number of bytes, got {capacity!r}"
            raise ConfigError(message, key="capacity")
        if ttl is not None and (not is_number(seconds) or not 0 < seconds < float("inf")):
            message = f"the ttl of a cache must be a positive number of seconds, got {ttl!r}"
            raise ConfigError(message, key="ttl")
        self.capacity = capacity
        self.ttl = ttl
        self.used = self.hits = self.misses = self.evicted = self.expired = 0
        # Not plain dicts: finding the first entry of one takes the longer the more went before it.
        self._sizes: OrderedDict[Key, int] = OrderedDict()  # the one that was used longest ago first
        self._born: OrderedDict[Key, float] = OrderedDict()  # the oldest first: all have the same time to live

    def __len__(self) -> int:
        return len(self._sizes)

    def find(self, key: Key, now: float) -> bool:
        """Return whether an entry is there, which counts as using it. One that is too old must be dropped."""
        if key not in self._sizes or self._too_old(key, now):
            self.misses += 1
            return False
        self._sizes.move_to_end(key)
        self.hits += 1
        return True

    def add(self, key: Key, size: int, now: float) -> list[Key]:
        """Take in an entry, in place of an earlier one of its key.

        Returns:
            The keys to drop, in order; this key alone if it is larger than the capacity.
        """
        self.remove(key)
        if size > self.capacity:
            self.evicted += 1
            return [key]
        gone = self.shrink(self.capacity - size)
        self._sizes[key] = size
        self._born[key] = now
        self.used += size
        return gone

    def remove(self, key: Key) -> bool:
        """Forget an entry; return whether it was there."""
        size = self._sizes.pop(key, None)
        if size is None:
            return False
        del self._born[key]
        self.used -= size
        return True

    def shrink(self, most: int) -> list[Key]:
        """Return the keys to drop so that the others have ``most`` bytes together at the most."""
        gone: list[Key] = []
        while self._sizes and self.used > most:
            key = next(iter(self._sizes))
            self.remove(key)
            gone.append(key)
        self.evicted += len(gone)
        return gone

    def expire(self, now: float) -> list[Key]:
        """Return the keys to drop because they are too old, the oldest first."""
        gone: list[Key] = []
        for key in self._born:
            if not self._too_old(key, now):
                break
            gone.append(key)
        for key in gone:
            self.remove(key)
        self.expired += len(gone)
        return gone

    def next_at(self) -> float | None:
        """Return when the next entry is too old, or ``None`` if none ever will be."""
        if self.ttl is None or not self._born:
            return None
        return next(iter(self._born.values())) + self.ttl

    def _too_old(self, key: Key, now: float) -> bool:
        # Times are compared, as in next_at: a difference would be rounded once more.
        return self.ttl is not None and now >= self._born[key] + self.ttl

    def check(self) -> None:
        """Verify the rules."""
        assert self.used == sum(self._sizes.values()) <= self.capacity
        assert self._sizes.keys() == self._born.keys()
        born = list(self._born.values())
        assert born == sorted(born)

"""A cache of values, bounded in bytes and in age; what goes is decided by ``core.eviction``.

1. All methods may be called from any thread, and none waits for more than a moment. What a value
   does when it goes, in a finaliser of its own, may be any of them: so it goes when the lock is free.
2. What is too old is dropped by the engine's timer: nobody has to come and look.
3. Each entry is charged ``ENTRY_BYTES`` beside its value, so that many small ones count, and what a
   long key takes: it may be all arguments of a call, a prompt or a page among them.
"""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tenire.core.eviction import Eviction
from tenire.core.tasks import is_number
from tenire.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Hashable

    from tenire.clock import Clock
    from tenire.concurrency.timer import Timeout, UniversalTimer

__all__ = ["ENTRY_BYTES", "Cache", "CacheStatistics"]

ENTRY_BYTES = 400
"""What the books of one entry take, a short key included; measured, and rounded up."""

_SHORT_KEY_BYTES = 100

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class CacheStatistics:
    """What a cache holds, and how it did so far.

    Attributes:
        entries: Values that it holds.
        used: Bytes that they take.
        capacity: Bytes that they may take.
        hits: How often ``get`` found something.
        misses: How often it did not.
        evicted: Values that went to make room, or were larger than the whole cache.
        expired: Values that were too old.
    """

    entries: int
    used: int
    capacity: int
    hits: int
    misses: int
    evicted: int
    expired: int


class Cache(Generic[V]):
    """Values by key; made by ``DataManager.cache``.

    Args:
        name: For people.
        capacity: Bytes that it may hold.
        ttl: Seconds that a value may stay, or ``None`` for any time.
        clock: The engine's clock.
        timer: The engine's timer.

    Raises:
        ConfigError: If a number is impossible.
    """

    def __init__(self, name: str, *, capacity: int, ttl: float | None, clock: Clock, timer: UniversalTimer) -> None:
        self.name = name
        # Taken again by the same thread if a finaliser, which may run anywhere, uses the cache.
        self._lock = threading.RLock()
        self._clock = clock
        self._timer = timer
        self._core: Eviction[Hashable] = Eviction(capacity, ttl=ttl)
        self._values: dict[Hashable, V] = {}
        self._timeout: Timeout | None = None
        self._closed = False

    @property
    def capacity(self) -> int:
        """Bytes that it may hold."""
        return self._core.capacity

    @property
    def ttl(self) -> float | None:
        """Seconds that a value may stay, or ``None`` for any time."""
        return self._core.ttl

    def get(self, key: Hashable, default: V | None = None) -> V | None:
        """Return the value of a key, or ``default``."""
        with self._lock:
            if self._core.find(key, self._clock.now()):
                return self._values[key]
            return default

    def put(self, key: Hashable, value: V, *, size: int | None = None) -> bool:
        """Keep a value, in place of an earlier one; return whether it is kept.

        It is not if it is larger than the whole cache, or the engine has ended.

        Args:
            key: By which it is found.
            value: It must not be changed any more.
            size: Its bytes. May be left out for strings, bytes and whatever else tells
                its size by ``nbytes``.

        Raises:
            ConfigError: If the size is negative, or was left out and cannot be told.
        """
        taken = ENTRY_BYTES + _beyond(key) + (size_of(value) if size is None else _checked(size))
        with self._lock:
            if self._closed:
                return False
            dropped = [self._values.pop(gone, None) for gone in self._core.add(key, taken, self._clock.now())]
            kept = taken <= self._core.capacity
            if kept:
                dropped.append(self._values.get(key))
                self._values[key] = value
            if self._timeout is None:
                self._set_timer()
            return kept

    def discard(self, key: Hashable) -> bool:
        """Drop the value of a key; return whether there was one."""
        with self._lock:
            _dropped = self._values.pop(key, None)
            return self._core.remove(key)

    def shrink(self, most: int = 0) -> int:
        """Drop values, those used longest ago first, until ``most`` bytes are left; return the bytes gained."""
        with self._lock:
            before = self._core.used
            _dropped = [self._values.pop(key, None) for key in self._core.shrink(most)]
            return before - self._core.used

    def __len__(self) -> int:
        return len(self._values)

    def statistics(self) -> CacheStatistics:
        """Return what it holds, and how it did so far."""
        core = self._core
        with self._lock:
            return CacheStatistics(
                entries=len(core),
                used=core.used,
                capacity=core.capacity,
                hits=core.hits,
                misses=core.misses,
                evicted=core.evicted,
                expired=core.expired,
            )

    def close(self) -> None:
        """Drop everything, and keep nothing any more."""
        with self._lock:
            self._closed = True
        self.shrink()
        with self._lock:
            if self._timeout is not None:
                self._timeout.cancel()

    def _set_timer(self) -> None:
        at = self._core.next_at()
        # A bound method is held weakly: the timer does not keep the cache alive.
        self._timeout = None if at is None else self._timer.at(at, self._ring)

    def _ring(self) -> None:
        with self._lock:
            _dropped = [self._values.pop(key, None) for key in self._core.expire(self._clock.now())]
            self._set_timer()


def size_of(value: Any) -> int:
    """Return the bytes of a value that tells them.

    Raises:
        ConfigError: If it does not.
    """
    if isinstance(value, (bytes, bytearray)):
        return len(value)
    if isinstance(value, str):
        return sys.getsizeof(value)
    size = getattr(value, "nbytes", None)  # arrays, memoryview
    if isinstance(size, int):
        return size
    message = f"the size of a value of type {type(value).__name__!r} is not known"
    raise ConfigError(message, key="size", hint="pass size=… in bytes")


def _beyond(key: Hashable) -> int:
    """Return the bytes that texts in a key, however deep in tuples, take beyond those of a short one."""
    taken, left = 0, [key]
    while left:
        part = left.pop()
        if isinstance(part, tuple):
            left += part
        elif isinstance(part, (str, bytes)):
            taken += sys.getsizeof(part)
    return max(0, taken - _SHORT_KEY_BYTES)


def _checked(size: Any) -> int:
    if not is_number(size) or not 0 <= size < float("inf"):
        message = f"size must be a number of bytes from 0, got {size!r}"
        raise ConfigError(message, key="size")
    return int(size)

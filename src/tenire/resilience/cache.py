"""Results that are kept, so that an equal call is answered without calling."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from tenire.errors import ConfigError
from tenire.resilience.timing import time_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

    from tenire.clock import Clock
    from tenire.concurrency.data.cache import Cache as BytesCache

__all__ = ["MISSING", "Cache", "EngineCache", "FillingCache", "MemoryCache"]


_NEVER = float("inf")


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""What ``get`` returns if there is nothing; ``None`` is a result like any other."""


class Cache(Protocol):
    """Where results are kept; a result is put there before anybody sees it."""

    async def get(self, key: Hashable) -> Any:
        """Return the result, or ``MISSING``."""
        ...

    async def put(self, key: Hashable, value: Any) -> None:
        """Keep a result."""
        ...


@runtime_checkable
class FillingCache(Cache, Protocol):
    """A cache that says itself when a result that it does not have is made.

    For what others may be making meanwhile, in other processes for example. The guard still
    makes equal calls of one loop at the same time once.
    """

    async def fill(self, key: Hashable, make: Callable[[], Awaitable[Any]]) -> Any:
        """Return the result, having kept it; ``make`` calls the function, as often as it takes."""
        ...


class MemoryCache:
    """Keeps the results that were used last, in memory; from any thread.

    Args:
        most: Results to keep.
        ttl: Seconds for which a result is good; ``None`` for ever.
        clock: By default the running loop's.

    Raises:
        ConfigError: If a number is impossible.
    """

    __slots__ = ("_clock", "_kept", "_lock", "_most", "_ttl")

    def __init__(self, most: int = 1024, *, ttl: float | None = None, clock: Clock | None = None) -> None:
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            message = f"most must be a whole number of results from 1, got {most!r}"
            raise ConfigError(message, key="most")
        if ttl is not None and not ttl > 0:
            message = f"ttl must be a positive number of seconds, or None, got {ttl!r}"
            raise ConfigError(message, key="ttl")
        self._most = most
        self._ttl = _NEVER if ttl is None else ttl
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[Any, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    async def get(self, key: Hashable) -> Any:
        """Return the result, or ``MISSING``."""
        now = time_of(self._clock)()
        with self._lock:
            value, good_until = self._kept.get(key, (MISSING, _NEVER))
            if value is MISSING:
                return MISSING
            if now >= good_until:
                del self._kept[key]
                return MISSING
            self._kept.move_to_end(key)
            return value

    async def put(self, key: Hashable, value: Any) -> None:
        """Keep a result, and drop the one that was not used for longest if there are too many."""
        good_until = time_of(self._clock)() + self._ttl
        with self._lock:
            self._kept[key] = value, good_until
            self._kept.move_to_end(key)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()


class EngineCache:
    """Keeps results in a cache of an engine, which is bounded in bytes and shared with others.

    Args:
        cache: From ``manager.data_manager.cache(name, capacity=…, ttl=…)``.
        size: Tells the bytes of a result; not needed for strings, bytes and arrays.
    """

    __slots__ = ("_cache", "_size")

    def __init__(self, cache: BytesCache[Any], *, size: Callable[[Any], int] | None = None) -> None:
        self._cache = cache
        self._size = size

    async def get(self, key: Hashable) -> Any:
        """Return the result, or ``MISSING``."""
        return self._cache.get(key, MISSING)

    async def put(self, key: Hashable, value: Any) -> None:
        """Keep a result, if there is room for it.

        Raises:
            ConfigError: If its size cannot be told.
        """
        self._cache.put(key, value, size=None if self._size is None else self._size(value))

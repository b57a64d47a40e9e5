"""The engine's data: bytes in flight, blobs that give way to them, and caches."""

from __future__ import annotations

import threading
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tenire.concurrency.blocking import acquire_blocking, run_blocking
from tenire.concurrency.data.blobs import Blobs
from tenire.concurrency.data.cache import Cache
from tenire.concurrency.submit import number_of, text_of
from tenire.concurrency.unbroken import unbroken
from tenire.core.admission import MEMORY
from tenire.core.tasks import Priority, Resources
from tenire.errors import ConfigError, RejectedError
from tenire.storage.hold import HomeHold
from tenire.storage.home import Home
from tenire.storage.scratch import temporary_base

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from tenire.clock import Clock
    from tenire.concurrency.data.blob import Blob
    from tenire.concurrency.data.blobs import BlobStatistics
    from tenire.concurrency.data.cache import CacheStatistics
    from tenire.concurrency.orchestrator import Orchestrator
    from tenire.concurrency.timer import UniversalTimer
    from tenire.storage.ledger import Ledger

__all__ = ["CACHE_BYTES", "SPILL_TIMES", "DataManager", "DataStatistics"]

CACHE_BYTES = 16 << 20
SPILL_TIMES = 8


@dataclass(frozen=True, slots=True)
class DataStatistics:
    """What an engine keeps for its tasks.

    Attributes:
        blobs: What blobs take.
        caches: How each cache fares, by name.
    """

    blobs: BlobStatistics
    caches: Mapping[str, CacheStatistics]


class DataManager:
    """Lends bytes in flight, keeps blobs and caches, and knows the engine's home.

    Args:
        orchestrator: Whose byte budget it lends.
        home: The home directory, or ``None`` for an engine without one.
        spill: Bytes of blobs that may lie on disk; default: ``SPILL_TIMES`` the byte budget.
        clock: The engine's clock.
        timer: The engine's timer.

    Attributes:
        home: As given.
        blobs: What carries out ``put``.

    Raises:
        ConfigError: If a number is impossible.
    """

    def __init__(
        self,
        orchestrator: Orchestrator,
        home: Path | None,
        *,
        clock: Clock,
        timer: UniversalTimer,
        spill: int | None = None,
    ) -> None:
        self._orchestrator = orchestrator
        self._clock = clock
        self._timer = timer
        self._lock = threading.Lock()
        self._caches: dict[str, Cache[Any]] = {}
        self._closed = False
        self._hold: HomeHold | None = None
        self.home = home
        self.blobs = Blobs(
            orchestrator,
            disk=temporary_base if home is None else lambda: Home(home).cache_path / "spill",
            most=SPILL_TIMES * self.capacity if spill is None else spill,
            clock=clock,
            timer=timer,
        )
        orchestrator.waiting_for_more = self.blobs.pressed

    # -- bytes in flight ----------------------------------------------------

    @property
    def capacity(self) -> int:
        """Bytes that may be in flight, all pipelines together."""
        return self._orchestrator.scheduler.admission.capacity[MEMORY]

    @property
    def free(self) -> int:
        """Bytes that are not lent now."""
        return self._orchestrator.scheduler.admission.free[MEMORY]

    @property
    def lacking(self) -> int:
        """Bytes that would have to come free for every task that is next; 0 if none waits for bytes."""
        return self.blobs.shortage()

    @asynccontextmanager
    async def credit(
        self, size: int, *, pipeline: str = "default", priority: Priority = Priority.NORMAL, name: str = "bytes"
    ) -> AsyncIterator[int]:
        """Hold ``size`` bytes of the budget while open; waits its turn.

        More than the whole budget is cut down to the budget: such an item goes
        alone rather than never.

        Yields:
            The bytes that are held.

        Raises:
            ConfigError: If an argument is impossible.
        """
        number_of("size", size, most=float("inf"))
        held = min(size, self.capacity)
        # Detached: bytes travel with an item from coroutine to coroutine, and whoever
        # holds them gives them back without asking for more.
        permit = self._orchestrator.permit(
            Resources(memory=held), pipeline=pipeline, priority=priority, name=name, detached=True
        )
        async with permit:
            yield held

    # -- blobs ----------------------------------------------------------------

    async def put(self, data: Any, *, name: str = "blob") -> Blob:
        """Keep bytes, in memory as long as nobody needs that for work, then on disk; return their handle.

        Args:
            data: ``bytes``, or an array in one piece. It is not copied and must not be
                changed any more.
            name: For people.

        Raises:
            RejectedError: If it fits neither memory nor disk, or the engine has ended.
            StoreError: If it has to go to disk and cannot be written.
            ConfigError: If it is no bytes.
        """
        return await self.blobs.put(data, name=name)

    # -- the home ---------------------------------------------------------------

    def share(self, hold: HomeHold) -> None:
        """Have ``ledger`` use a hold on the home that this engine's pipelines have already."""
        self._hold = hold

    @asynccontextmanager
    async def ledger(self) -> AsyncIterator[Ledger]:
        """Hold the home and its ledger while open; all of this engine share them.

        The ledger's methods block: call them on a thread.

        Yields:
            The ledger, checked for damage by the first one who opens it.

        Raises:
            HomeBusyError: If another engine has the home; it holds that one's pid.
            StoreError: If the home or its ledger cannot be used.
            ConfigError: If the engine has no home.
        """
        if self.home is None:
            message = "the engine has no home and so no ledger"
            raise ConfigError(message, key="home", hint="ConcurrencyManager(home=…)")
        if self._hold is None:
            made = HomeHold(await run_blocking(Home, self.home), clock=self._clock)
            self._hold = self._hold or made  # somebody else may have been quicker
        hold = self._hold
        ledger = await acquire_blocking(hold.enter, lambda _: hold.leave())
        try:
            yield ledger
        finally:
            await unbroken(run_blocking(hold.leave))

    # -- caches -------------------------------------------------------------

    def cache(self, name: str, *, capacity: int = CACHE_BYTES, ttl: float | None = None) -> Cache[Any]:
        """Return the cache of this name, made if it is new; from any thread.

        Args:
            name: One cache of it in the whole engine.
            capacity: Bytes that it may hold, beside the bytes in flight.
            ttl: Seconds that a value may stay, or ``None`` for any time.

        Raises:
            ConfigError: If a number is impossible, or the cache was made with others.
            RejectedError: If it is new, and the engine has ended.
        """
        text_of("name", name)
        with self._lock:
            cache = self._caches.get(name)
            if cache is None:
                if self._closed:  # nobody would ever close it, and no timer drop what is too old
                    message = f"the engine has ended and makes no cache ({name!r})"
                    raise RejectedError(message)
                cache = Cache(name, capacity=capacity, ttl=ttl, clock=self._clock, timer=self._timer)
                self._caches[name] = cache
        if (cache.capacity, cache.ttl) != (capacity, ttl):
            message = (
                f"there is a cache {name!r} already, of capacity={cache.capacity} and ttl={cache.ttl}; "
                f"asked for capacity={capacity} and ttl={ttl}"
            )
            raise ConfigError(message, key=name, hint="give both the same numbers, or another name")
        return cache

    def caches(self) -> tuple[Cache[Any], ...]:
        """Return all caches."""
        return tuple(self._caches.values())

    def statistics(self) -> DataStatistics:
        """Return what it keeps."""
        return DataStatistics(self.blobs.statistics(), {cache.name: cache.statistics() for cache in self.caches()})

    def give_way(self, level: str) -> None:
        """Give memory back, now that the machine is loaded.

        At ``high`` caches drop what they hold beyond half of their capacity, at ``critical``
        everything, and blobs leave memory.
        """
        if level == "critical":
            self.blobs.shrink()
        if level in ("high", "critical"):
            for cache in self.caches():
                cache.shrink(0 if level == "critical" else cache.capacity // 2)

    def start(self) -> None:
        """Tidy up after engines that were killed."""
        self.blobs.start()

    async def aclose(self, *, haste: bool = False) -> None:
        """Drop everything.

        Args:
            haste: Wait for a slow disk only as long as nobody notices.
        """
        await self.blobs.aclose(haste=haste)
        with self._lock:
            self._closed = True
        for cache in self.caches():
            cache.close()

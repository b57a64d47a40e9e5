"""Caches of the engine: bounded in bytes and in age."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from tenire import ConcurrencyManager
from tenire.concurrency import UniversalTimer
from tenire.concurrency.data.cache import ENTRY_BYTES, Cache
from tenire.errors import ConfigError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenire.concurrency.data import DataManager
    from tenire.testing import ManualClock, SimLoop


def simulated(loop: SimLoop, scenario: Callable[[ConcurrencyManager], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with ConcurrencyManager(clock=loop.clock, cpu=1, memory=1 << 20) as manager:
            return await scenario(manager)

    return loop.run_until_complete(main())


def test_what_was_used_longest_ago_makes_room(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        cache = manager.data_manager.cache("pages", capacity=3 * (ENTRY_BYTES + 100))
        for key in "abc":
            assert cache.put(key, bytes(100))
        assert cache.get("a") == bytes(100)
        cache.put("d", bytes(100))
        assert cache.get("b") is None
        assert cache.get("b", b"none") == b"none"
        assert len(cache) == 3
        assert cache.discard("a")
        assert not cache.discard("a")
        statistics = cache.statistics()
        assert (statistics.entries, statistics.used) == (2, 2 * (ENTRY_BYTES + 100))
        assert (statistics.hits, statistics.misses, statistics.evicted) == (1, 2, 1)

    simulated(sim_loop, scenario)


def test_a_value_larger_than_the_cache_is_not_kept_and_drives_out_no_other(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        cache = manager.data_manager.cache("pages", capacity=2000)
        cache.put("small", b"x")
        cache.put("large", b"old")
        assert not cache.put("large", bytes(2001))
        assert cache.get("large") is None, "the earlier value is not the value any more"
        assert cache.get("small") == b"x"

    simulated(sim_loop, scenario)


def test_the_timer_drops_what_is_too_old_and_then_rests(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        timers = len(manager.timer)
        cache = manager.data_manager.cache("pages", ttl=10)
        cache.put("a", b"1")
        await asyncio.sleep(6)
        cache.put("b", b"2")
        assert len(manager.timer) == timers + 1
        await asyncio.sleep(3.9)
        assert len(cache) == 2
        await asyncio.sleep(0.2)
        assert len(cache) == 1
        await asyncio.sleep(6)
        assert len(cache) == 0
        assert cache.statistics().expired == 2
        assert len(manager.timer) == timers
        cache.put("c", b"3")
        await asyncio.sleep(10.1)
        assert len(cache) == 0, "the timer is set again"

    simulated(sim_loop, scenario)


def test_one_name_is_one_cache_and_other_numbers_are_refused(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        data = manager.data_manager
        assert data.cache("a", ttl=5) is data.cache("a", ttl=5)
        assert data.cache("b") is not data.cache("a", ttl=5)
        with pytest.raises(ConfigError, match=r"ttl=5.*ttl=6"):
            data.cache("a", ttl=6)
        with pytest.raises(ConfigError, match="capacity"):
            data.cache("c", capacity=0)
        assert [cache.name for cache in data.caches()] == ["a", "b"]

    simulated(sim_loop, scenario)


def test_a_size_that_cannot_be_told_must_be_given(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        cache = manager.data_manager.cache("any")
        for value in (b"12", bytearray(b"12"), "12", memoryview(b"12")):
            assert cache.put("key", value)
        assert cache.statistics().used == ENTRY_BYTES + 2
        with pytest.raises(ConfigError, match="a value of type 'dict' is not known"):
            cache.put("key", {})
        cache.put("key", {}, size=64)
        assert cache.statistics().used == ENTRY_BYTES + 64
        with pytest.raises(ConfigError, match="size"):
            cache.put("key", {}, size=-1)

    simulated(sim_loop, scenario)


def test_long_keys_count_too(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        cache = manager.data_manager.cache("calls", capacity=10_000)
        for number in range(10):
            assert cache.put((print, ("x" * 1000 + str(number), (b"y" * 1000,)), 1.5), b"")
        assert len(cache) == 4
        assert 9_000 < cache.statistics().used <= 10_000
        assert not cache.put("x" * 10_000, b""), "as if the value were too large"
        cache.shrink()
        cache.put(("short", b"key", 7), b"12")
        assert cache.statistics().used == ENTRY_BYTES + 2

    simulated(sim_loop, scenario)


def test_under_load_caches_give_way(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> None:
        cache = manager.data_manager.cache("pages", capacity=10 * (ENTRY_BYTES + 1))
        for key in range(10):
            cache.put(key, b"x")
        give_way = manager.data_manager.give_way
        give_way("elevated")
        assert len(cache) == 10
        give_way("high")
        assert len(cache) == 5
        assert cache.get(9) == b"x"
        give_way("critical")
        assert len(cache) == 0

    simulated(sim_loop, scenario)


def test_threads_share_a_cache() -> None:
    async def main() -> None:
        async with ConcurrencyManager(cpu=4, memory=1 << 20) as manager:
            cache = manager.data_manager.cache("shared", capacity=50 * (ENTRY_BYTES + 8), ttl=60)
            start = threading.Barrier(4)

            def work(number: int) -> None:
                start.wait(10)
                for step in range(500):
                    key = (number + step) % 70
                    cache.put(key, key.to_bytes(8, "big"))
                    found = cache.get(key)
                    assert found in (None, key.to_bytes(8, "big"))

            for handle in [manager.submit(work, number) for number in range(4)]:
                await handle
            cache._core.check()
            assert cache._core._sizes.keys() == cache._values.keys()

    asyncio.run(main())


class Last:
    """The last one to hold something: when it goes, that is of no use any more."""

    def __init__(self, cache: Cache[Any]) -> None:
        self.cache = cache

    def __del__(self) -> None:
        self.cache.discard("derived")


@pytest.mark.parametrize(
    "way",
    [
        lambda cache: cache.put("last", b"other"),
        lambda cache: cache.put("large", bytes(150)),
        lambda cache: cache.discard("last"),
        lambda cache: cache.shrink(),
    ],
    ids=["put in its place", "make room", "discard", "shrink"],
)
def test_what_a_value_does_when_it_goes_may_use_the_cache(
    sim_loop: SimLoop, manual_clock: ManualClock, way: Callable[[Cache[Any]], Any]
) -> None:
    # Without an engine, which would wait at its end for a lock that nobody gives back.
    timer = UniversalTimer(loop=sim_loop, clock=manual_clock, on_thread=lambda: True)
    cache: Cache[Any] = Cache("pages", capacity=2 * (ENTRY_BYTES + 100), ttl=None, clock=manual_clock, timer=timer)
    cache.put("last", Last(cache), size=1)
    cache.put("derived", b"x")
    thread = threading.Thread(target=way, args=(cache,), daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert cache.get("derived") is None
    cache._core.check()
    assert cache._core._sizes.keys() == cache._values.keys()


def test_a_closed_engine_keeps_no_values(sim_loop: SimLoop) -> None:
    class Page:
        pass

    async def scenario(manager: ConcurrencyManager) -> Any:
        cache, page = manager.data_manager.cache("pages", ttl=5), Page()
        cache.put("key", page, size=1)
        return cache, weakref.ref(page)

    cache, seen = simulated(sim_loop, scenario)
    gc.collect()
    assert seen() is None
    assert not cache.put("key", b"late")
    assert len(cache) == 0


def test_an_engine_that_has_ended_makes_no_cache(sim_loop: SimLoop) -> None:
    async def scenario(manager: ConcurrencyManager) -> tuple[DataManager, Cache[Any]]:
        return manager.data_manager, manager.data_manager.cache("old")

    data, old = simulated(sim_loop, scenario)
    with pytest.raises(RejectedError, match=r"has ended and makes no cache \('new'\)"):
        data.cache("new", ttl=5)
    assert data.cache("old") is old, "it keeps nothing any more"
    assert data.caches() == (old,)

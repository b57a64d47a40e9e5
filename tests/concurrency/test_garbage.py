"""What is set aside while engines run."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tenire import ConcurrencyManager
from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency import garbage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Node:
    other: Node | None = None


def test_what_lives_at_the_start_is_set_aside_until_the_last_engine_has_ended() -> None:
    async def main() -> None:
        async with ConcurrencyManager(cpu=1, memory=1 << 20):
            frozen = gc.get_freeze_count()
            assert frozen > 1000
            async with ConcurrencyManager(cpu=1, memory=1 << 20):
                # Of what was set aside, a little of the first engine's start has ended since.
                assert frozen - 100 < gc.get_freeze_count() <= frozen
            assert frozen - 100 < gc.get_freeze_count() <= frozen
        assert not gc.get_freeze_count()

    asyncio.run(main())


def test_what_somebody_else_has_set_aside_stays_so() -> None:
    async def main() -> None:
        async with ConcurrencyManager(cpu=1, memory=1 << 20):
            pass

    gc.freeze()
    try:
        asyncio.run(main())
        assert gc.get_freeze_count()
    finally:
        gc.unfreeze()


def test_tasks_leave_nothing_for_the_collector() -> None:
    async def main() -> None:
        async with ConcurrencyManager(cpu=1, memory=1 << 20) as manager:

            async def step(node: Node) -> Node:
                await asyncio.sleep(0)
                return node

            async def outer(node: Node) -> None:
                await manager.submit(step, node)

            node = Node()
            seen = weakref.ref(node)
            handle = manager.submit(outer, node)
            await handle
            del node, handle
            await asyncio.sleep(0.01)
            assert seen() is None, "a reference cycle keeps what a task was given"

    gc.disable()
    try:
        asyncio.run(main())
    finally:
        gc.enable()


def cycle() -> weakref.ref[Node]:
    """Leave garbage that only the collector finds."""
    one, two = Node(), Node()
    one.other, two.other = two, one
    return weakref.ref(one)


@contextmanager
def set_aside_by_us(queued: Callable[[], int] = int) -> Iterator[None]:
    gc.collect()
    garbage.set_aside(queued)
    try:
        yield
    finally:
        garbage.take_back(queued)


@contextmanager
def thresholds(*wanted: int) -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(*wanted)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def test_in_an_idle_moment_garbage_goes_and_what_stays_is_set_aside() -> None:
    with set_aside_by_us():
        # In this order: so many lists have Python 3.11 collect the cycle by itself.
        frozen, kept, lost = gc.get_freeze_count(), [[number] for number in range(1000)], cycle()
        collected = garbage.set_aside_more(SYSTEM_CLOCK, limit=10)
        assert collected is not None
        assert collected >= 2
        assert lost() is None
        assert gc.get_freeze_count() >= frozen + len(kept)
    assert not gc.get_freeze_count()


def test_what_became_garbage_after_it_was_set_aside_is_found_in_the_end() -> None:
    with set_aside_by_us():
        one = Node()
        one.other, seen = one, weakref.ref(one)
        garbage.set_aside_more(SYSTEM_CLOCK, limit=10)
        del one
        for _ in range(garbage._LOOKS):
            garbage.set_aside_more(SYSTEM_CLOCK, limit=10)
        assert seen() is None


def test_what_would_take_too_long_is_not_begun() -> None:
    with set_aside_by_us():
        kept = [[number] for number in range(10_000)]
        frozen, lost = gc.get_freeze_count(), cycle()
        assert garbage.set_aside_more(SYSTEM_CLOCK, limit=len(kept) * 1e-12) is None
        assert gc.get_freeze_count() == frozen
        assert lost() is not None


def test_the_collector_of_somebody_else_is_left_alone() -> None:
    assert garbage.set_aside_more(SYSTEM_CLOCK, limit=10) is None, "no engine has set anything aside"


def test_while_much_is_queued_everything_is_looked_at_only_after_as_much_has_come() -> None:
    waiting = [10]
    with thresholds(1000, 10, 10):
        with set_aside_by_us(lambda: waiting[0]), set_aside_by_us(lambda: waiting[0]):
            for each, third in [(10, 10), (24_000, 10), (30_000, 12), (500_000, 200), (60_000, 24), (0, 10)]:
                waiting[0] = each
                gc.collect(0)
                gc.collect(1)
                assert gc.get_threshold() == (1000, 10, third)
            waiting[0] = 1_000_000
            gc.collect(1)
        assert gc.get_threshold() == (1000, 10, 10)


def test_thresholds_that_somebody_else_sets_meanwhile_stay() -> None:
    with thresholds(1000, 10, 10):
        waiting = [1_000_000]
        with set_aside_by_us(lambda: waiting[0]):
            gc.collect(1)
            assert gc.get_threshold() == (1000, 10, 200)
            gc.set_threshold(500, 5, 7)
            gc.collect(1)
            gc.collect(1)
            assert gc.get_threshold() == (500, 5, 800)
            waiting[0] = 0
            gc.collect(1)
            assert gc.get_threshold() == (500, 5, 7)
            gc.set_threshold(600, 6, 6)
        assert gc.get_threshold() == (600, 6, 6)
        with set_aside_by_us(lambda: waiting[0]):
            gc.set_threshold(0)
            waiting[0] = 5
            gc.collect(1)
        assert gc.get_threshold()[0] == 0


def test_the_tasks_that_wait_in_an_engine_are_those_that_count() -> None:
    async def main() -> None:
        async with ConcurrencyManager(cpu=1, memory=1 << 20) as manager:
            gate = asyncio.Event()
            first = manager.submit(gate.wait)
            for _ in range(1000):
                manager.submit(asyncio.sleep, 0, after=[first])
            gc.collect(1)
            assert gc.get_threshold()[2] == 2 * 1000 // (10 * 20)
            gate.set()
        assert gc.get_threshold() == (10, 20, 3)

    with thresholds(10, 20, 3):
        asyncio.run(main())

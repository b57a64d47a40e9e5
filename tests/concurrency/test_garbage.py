"""What is set aside while engines run."""

from __future__ import annotations

import asyncio
import gc
import weakref

from tenire import ConcurrencyManager


class Node:
    other: Node | None = None


def test_what_lives_at_the_start_is_set_aside_until_the_last_engine_has_ended() -> None:
    async def main() -> None:
        async with ConcurrencyManager(cpu=1, memory=1 << 20):
            frozen = gc.get_freeze_count()
            assert frozen > 1000
            async with ConcurrencyManager(cpu=1, memory=1 << 20):
                assert gc.get_freeze_count() == frozen
            assert gc.get_freeze_count() == frozen
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

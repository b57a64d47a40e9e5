"""What tests of the engine share: one engine around a scenario, and waiting for another process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tenire import ConcurrencyManager

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["engine", "eventually"]


def engine(scenario: Callable[[ConcurrencyManager], Awaitable[Any]], **options: Any) -> Any:
    """Run a scenario inside an engine of its own and return what it returns."""

    async def main() -> Any:
        async with ConcurrencyManager(**{"cpu": 2, "memory": 1 << 20, **options}) as manager:
            return await scenario(manager)

    return asyncio.run(main())


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait, within reason, for what happens in another process."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the condition is in another process
            await asyncio.sleep(0.01)

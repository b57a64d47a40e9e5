"""One call of a stage: from lines to items, to the user's function, and back to lines.

On a thread or in a worker process these steps run there, and none on the loop.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from tenire.pipeline.rows.lines import item_of
from tenire.pipeline.stages.results import checked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["acall", "call"]


def call(function: Callable[..., Any], records: Sequence[bytes]) -> list[list[bytes]]:
    """Call a plain function.

    Returns:
        For each record the lines that it becomes.

    Raises:
        WrongResultsError: If it returned what no stage may.
        Exception: What it raised.
    """
    items = [item_of(record) for record in records]
    # The function may change its items, and ids are what results are named by.
    named = [{"id": item["id"]} for item in items]
    return checked(function(items), named)


async def acall(function: Callable[..., Any], records: Sequence[bytes]) -> list[list[bytes]]:
    """Call a function on the loop, a coroutine function or not; see ``call``."""
    items = [item_of(record) for record in records]
    named = [{"id": item["id"]} for item in items]
    results = function(items)
    if inspect.isasyncgen(results):
        found = []
        async for result in results:
            found.append(result)
            if len(found) > len(items):
                break
        await results.aclose()
        return checked(found, named)
    return checked(await results if inspect.isawaitable(results) else results, named)

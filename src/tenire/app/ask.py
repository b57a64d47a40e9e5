"""Asks the engine that runs on a home, from another process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tenire.concurrency.channel import ChannelClient
from tenire.errors import ChannelError

if TYPE_CHECKING:
    from tenire.storage.home import Home

__all__ = ["ask"]


def ask(home: Home, operation: str, argument: Any = None, *, timeout: float = 10.0, patience: float = 2.0) -> Any:
    """Call an operation of the running engine; see ``control`` for what there is.

    Args:
        home: The home that the engine runs on.
        operation: Its name.
        argument: What it takes.
        timeout: Seconds until the engine is taken for stuck.
        patience: Seconds of them that an engine gets which has only just begun.

    Raises:
        ChannelError: If no engine runs there, or it does not answer.
        TenireError: What the operation raised.
    """
    if home.owner() is None:
        message = f"no engine is running on {home.path}"
        raise ChannelError(message, hint="tenire run or tenire ingest starts one; --home names another home")

    async def call() -> Any:
        async with ChannelClient(home.path, timeout=timeout, patience=patience) as client:
            return await client.call(operation, argument)

    return asyncio.run(call())

"""Threads and worker processes behind one face.

Names are loaded when they are first used: a worker process imports its own module
from here, and would wait for asyncio and the engine around it for nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tenire.concurrency.pools.manager import PoolStatistics, ThreadPoolManager

__all__ = ["PoolStatistics", "ThreadPoolManager"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(importlib.import_module("tenire.concurrency.pools.manager"), name)
    globals()[name] = value
    return value

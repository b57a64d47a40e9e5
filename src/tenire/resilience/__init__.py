"""Calls that may fail, guarded: ``guarded`` puts the layers together that a call needs."""

from __future__ import annotations

from tenire.core.retrying import Kind
from tenire.resilience.batcher import Batcher, BatcherStatistics
from tenire.resilience.bulkhead import Bulkhead
from tenire.resilience.cache import MISSING, Cache, EngineCache, FillingCache, MemoryCache
from tenire.resilience.guard import Guard, GuardStatistics
from tenire.resilience.retries import FailedTry

__all__ = [
    "MISSING",
    "Batcher",
    "BatcherStatistics",
    "Bulkhead",
    "Cache",
    "EngineCache",
    "FailedTry",
    "FillingCache",
    "Guard",
    "GuardStatistics",
    "Kind",
    "MemoryCache",
    "guarded",
]

guarded = Guard
"""``Guard`` under the name that reads well above a function: ``@tenire.guarded(retry=3)``."""

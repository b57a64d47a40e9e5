"""What the engine keeps for its tasks: the byte budget and caches."""

from __future__ import annotations

from tenire.concurrency.data.cache import Cache, CacheStatistics
from tenire.concurrency.data.manager import DataManager

__all__ = ["Cache", "CacheStatistics", "DataManager"]

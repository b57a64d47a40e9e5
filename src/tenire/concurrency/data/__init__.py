"""What the engine keeps for its tasks: the byte budget, blobs and caches."""

from __future__ import annotations

from tenire.concurrency.data.blob import Blob
from tenire.concurrency.data.blobs import BlobStatistics
from tenire.concurrency.data.cache import Cache, CacheStatistics
from tenire.concurrency.data.manager import DataManager, DataStatistics

__all__ = ["Blob", "BlobStatistics", "Cache", "CacheStatistics", "DataManager", "DataStatistics"]

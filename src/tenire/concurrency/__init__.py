"""The asyncio shell: the components that the architecture names."""

from tenire.concurrency.async_tasks import AsyncTaskManager
from tenire.concurrency.data import DataManager
from tenire.concurrency.handle import Explanation, Handle
from tenire.concurrency.loops import EventLoopManager
from tenire.concurrency.manager import ConcurrencyManager
from tenire.concurrency.orchestrator import Orchestrator
from tenire.concurrency.pools import ThreadPoolManager
from tenire.concurrency.signals import Signals
from tenire.concurrency.snapshot import Snapshot
from tenire.concurrency.startup import BatchInitializationGroup, Component
from tenire.concurrency.timer import UniversalTimer

__all__ = [
    "AsyncTaskManager",
    "BatchInitializationGroup",
    "Component",
    "ConcurrencyManager",
    "DataManager",
    "EventLoopManager",
    "Explanation",
    "Handle",
    "Orchestrator",
    "Signals",
    "Snapshot",
    "ThreadPoolManager",
    "UniversalTimer",
]

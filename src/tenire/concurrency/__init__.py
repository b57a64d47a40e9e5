"""The asyncio shell: the components that the architecture names.

Loaded when they are asked for: a worker process needs one small room of this floor,
and starts a third faster without the others.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tenire.concurrency.async_tasks import AsyncTaskManager
    from tenire.concurrency.cancellation import CancelToken, cancel_token
    from tenire.concurrency.channel import ChannelClient, LoopChannel
    from tenire.concurrency.compactor import CompactionStep, Compactor, StepEnded
    from tenire.concurrency.data import Blob, Cache, DataManager
    from tenire.concurrency.ended_tasks import EndedTask
    from tenire.concurrency.handle import Explanation, Handle
    from tenire.concurrency.loops import EventLoopManager
    from tenire.concurrency.manager import ConcurrencyManager
    from tenire.concurrency.orchestrator import Orchestrator
    from tenire.concurrency.pools import ThreadPoolManager
    from tenire.concurrency.signals import Signals
    from tenire.concurrency.snapshot import Snapshot
    from tenire.concurrency.startup import BatchInitializationGroup, Component, StartupProgress
    from tenire.concurrency.supervisor import Child, ChildStatistics, ComponentChanged, Life, Supervisor
    from tenire.concurrency.task_groups import TaskGroup
    from tenire.concurrency.timer import Suspended, UniversalTimer

__all__ = [
    "AsyncTaskManager",
    "BatchInitializationGroup",
    "Blob",
    "Cache",
    "CancelToken",
    "ChannelClient",
    "Child",
    "ChildStatistics",
    "CompactionStep",
    "Compactor",
    "Component",
    "ComponentChanged",
    "ConcurrencyManager",
    "DataManager",
    "EndedTask",
    "EventLoopManager",
    "Explanation",
    "Handle",
    "Life",
    "LoopChannel",
    "Orchestrator",
    "Signals",
    "Snapshot",
    "StartupProgress",
    "StepEnded",
    "Supervisor",
    "Suspended",
    "TaskGroup",
    "ThreadPoolManager",
    "UniversalTimer",
    "cancel_token",
]

_HOMES = {
    "AsyncTaskManager": "async_tasks",
    "BatchInitializationGroup": "startup",
    "Blob": "data",
    "Cache": "data",
    "CancelToken": "cancellation",
    "ChannelClient": "channel",
    "Child": "supervisor",
    "ChildStatistics": "supervisor",
    "CompactionStep": "compactor",
    "Compactor": "compactor",
    "Component": "startup",
    "ComponentChanged": "supervisor",
    "ConcurrencyManager": "manager",
    "DataManager": "data",
    "EndedTask": "ended_tasks",
    "EventLoopManager": "loops",
    "Explanation": "handle",
    "Handle": "handle",
    "Life": "supervisor",
    "LoopChannel": "channel",
    "Orchestrator": "orchestrator",
    "Signals": "signals",
    "Snapshot": "snapshot",
    "StartupProgress": "startup",
    "StepEnded": "compactor",
    "Supervisor": "supervisor",
    "Suspended": "timer",
    "TaskGroup": "task_groups",
    "ThreadPoolManager": "pools",
    "UniversalTimer": "timer",
    "cancel_token": "cancellation",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(importlib.import_module(f"tenire.concurrency.{home}"), name)
    globals()[name] = value
    return value

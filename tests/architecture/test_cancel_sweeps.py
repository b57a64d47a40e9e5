"""Every public coroutine is cancelled at each of its awaits somewhere; who adds one is asked where."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
ROOMS = (
    "tenire", "tenire.concurrency", "tenire.concurrency.channel", "tenire.concurrency.data",
    "tenire.concurrency.loops", "tenire.concurrency.signals", "tenire.concurrency.supervisor", "tenire.resilience",
)  # fmt: skip
AWAITED = ("__aenter__", "__anext__", "__await__", "__call__")

SWEPT = {
    "BatchInitializationGroup": "concurrency/test_startup.py",
    "Batcher": "resilience/test_batcher.py",
    "Blob": "concurrency/test_blobs.py",
    "Bulkhead": "resilience/test_cancelling.py",
    "ChannelClient": "concurrency/test_channel_client.py",
    "Compactor": "concurrency/test_parts.py",
    "ConcurrencyManager": "concurrency/test_cancelling.py",
    "DataManager": "concurrency/test_blobs.py",
    "EngineCache": "resilience/test_cancelling.py",
    "EventLoopManager": "concurrency/test_cancelling.py",
    "Guard": "resilience/test_cancelling.py",
    "Handle": "concurrency/test_cancelling.py",
    "Life": "concurrency/test_supervisor.py",
    "LoopChannel": "integration/test_cancel_sweeps.py",
    "LoopOwner": "concurrency/test_cancelling.py",
    "LoopThread": "integration/test_cancel_sweeps.py",
    "MemoryCache": "resilience/test_cancelling.py",
    "Orchestrator": "concurrency/test_cancelling.py",
    "Signals": "concurrency/test_signals_streams.py",
    "Spawned": "concurrency/test_cancelling.py",
    "Store": "integration/test_cancel_sweeps.py",
    "Stream": "concurrency/test_signals_streams.py",
    "Supervisor": "concurrency/test_supervisor.py",
    "TaskGroup": "concurrency/test_task_groups.py",
    "ThreadPoolManager": "integration/test_cancel_sweeps.py",
    "arun": "integration/test_cancel_sweeps.py",
}


def _is_awaited(name: str, value: object) -> bool:
    function = inspect.unwrap(value) if callable(value) else getattr(value, "__func__", value)
    if name.startswith("_"):
        return name in AWAITED and (name != "__call__" or inspect.iscoroutinefunction(function))
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def with_coroutines() -> set[str]:
    """Return the names of public functions that are coroutines, and of classes that have some."""
    found = set()
    for room in ROOMS:
        module = importlib.import_module(room)
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value):
                members = [(member, inspect.getattr_static(value, member)) for member in dir(value)]
                if any(_is_awaited(*member) for member in members) and not getattr(value, "_is_protocol", False):
                    found.add(value.__name__)
            elif inspect.isfunction(value) and _is_awaited(name, value):
                found.add(value.__name__)
    return found


def test_every_public_coroutine_is_swept_somewhere() -> None:
    assert with_coroutines() == set(SWEPT)


@pytest.mark.parametrize("path", sorted(set(SWEPT.values())))
def test_there_it_is_swept(path: str) -> None:
    assert "cancel_sweep(" in (TESTS / path).read_text(encoding="utf-8")

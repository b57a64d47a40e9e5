"""A call of a model on this machine is cancelled at each await: no connection, worker or place in line stays behind."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenire.concurrency import ConcurrencyManager
from tenire.core.tasks import Priority
from tenire.llm.local import LocalTransport
from tenire.llm.local import transport as transport_module
from tenire.llm.records import ChatRequest
from tenire.resilience.urgency import Urgency
from tenire.testing import FakeModelServer, cancel_sweep

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tenire import Handle

REQUEST = ChatRequest("local", ({"role": "user", "content": "Hello"},), 12)


class Nearby:
    """An engine that runs on a thread what asks for a worker process; those have sweeps of their own."""

    def __init__(self, manager: ConcurrencyManager) -> None:
        self._manager = manager

    def submit(self, fn: Callable[..., Any], *args: Any, **options: Any) -> Handle[Any]:
        return self._manager.submit(fn, *args, **{**options, "on": "thread", "worker": None})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._manager, name)


def test_a_call_of_a_model_in_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[LocalTransport] = []
    engines: list[ConcurrencyManager] = []

    async def scenario() -> None:
        async with ConcurrencyManager(cpu=1, memory=1 << 30, adaptive=False) as manager:
            engines[:] = [manager]
            nearby: Any = Nearby(manager)
            transport = LocalTransport(Path("model.gguf"), nearby, memory=100)
            made[:] = [transport]
            try:
                async with transport.ready(Urgency(Priority.NORMAL)):
                    await transport.complete(REQUEST)
                async for _ in transport.stream(REQUEST):
                    pass
                await transport.embed("local", ["a", "b"])
            finally:
                await transport.close()

    def check() -> None:
        for transport in made:
            assert transport._http is None
            assert not transport._starting.locked()
            assert not transport._closing
        for engine in engines:
            admission = engine.orchestrator.scheduler.admission
            assert admission.free == admission.capacity

    with FakeModelServer() as server:
        monkeypatch.setattr(transport_module, "serve", lambda _: server.base_url.removesuffix("/v1"))
        report = cancel_sweep(scenario, check=check, loop_factory=asyncio.new_event_loop, may_finish=True)
    assert report.awaits >= 8

"""A model on this machine, in a worker process of an engine."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tenire.concurrency import ConcurrencyManager
from tenire.errors import AuthenticationError, ServerError, UnknownModelError
from tenire.llm.client import ChatClient
from tenire.llm.local import LocalTransport, find_weights
from tenire.llm.local import transport as transport_module
from tenire.llm.local.needs import needed_memory
from tenire.llm.records import ChatRequest
from tenire.llm.transport import HttpTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path


def asking(text: str, **parameters: Any) -> ChatRequest:
    return ChatRequest("local", ({"role": "user", "content": text},), 12, parameters={"temperature": 0, **parameters})


def with_model(check: Callable[[LocalTransport, ConcurrencyManager], Coroutine[Any, Any, None]]) -> None:
    weights = find_weights("local")
    needed = needed_memory(weights, 1024)

    async def run() -> None:
        async with ConcurrencyManager(cpu=1, memory=1 << 30) as manager:
            transport = LocalTransport(weights, manager, memory=needed, context=512)
            try:
                await check(transport, manager)
            finally:
                await transport.close()
            assert manager.data_manager.free == 1 << 30

    asyncio.run(run())


@pytest.mark.slow
def test_it_answers_streams_and_comes_back_when_it_is_killed() -> None:
    async def check(transport: LocalTransport, manager: ConcurrencyManager) -> None:
        reply = await transport.complete(asking("What is the capital of France?"))
        assert reply.text
        assert reply.usage is not None
        assert 0 < reply.usage.output_tokens <= 12
        (measured,) = manager.thread_pool.statistics().memory.values()
        lent = manager.data_manager.capacity - manager.data_manager.free
        assert lent >= measured * 0.9, "what it takes was asked for"
        assert lent < measured * 1.5, "and not much more"

        parts = [part async for part in transport.stream(asking("What is the capital of France?"))]
        assert parts[-1].reply is not None
        assert parts[-1].reply.text == "".join(part.text for part in parts) != ""

        http = transport._http
        assert http is not None
        stranger = HttpTransport(http.address.base, api_key="guess")
        with pytest.raises(AuthenticationError):
            await stranger.complete(asking("Hello"))
        await stranger.close()

        if sys.platform != "win32":
            for pid in manager.thread_pool.statistics().processes.values():
                os.kill(pid, signal.SIGKILL)
            with pytest.raises(ServerError):
                await transport.complete(asking("What is the capital of France?"))
            assert (await transport.complete(asking("What is the capital of France?"))).text

    with_model(check)


@pytest.mark.slow
def test_a_client_without_an_engine_has_room_for_it() -> None:
    async def run() -> None:
        async with ChatClient("local", max_output_tokens=4) as client:
            assert (await client.complete("What is the capital of France?")).text
            data, workers = client.manager.data_manager, client.manager.thread_pool
            lent = data.capacity - data.free
            (measured,) = workers.statistics().memory.values()
            assert measured * 0.9 < lent < measured * 1.5

    asyncio.run(run())


def test_weights_that_cannot_be_loaded_are_no_outage_to_wait_for(tmp_path: Path) -> None:
    weights = tmp_path / "half.gguf"
    weights.write_bytes(b"GGUF and nothing else")

    async def run() -> None:
        async with ConcurrencyManager(cpu=1, memory=1 << 30) as manager:
            transport = LocalTransport(weights, manager, memory=1 << 20)
            with pytest.raises(UnknownModelError, match=r"half\.gguf could not be loaded") as caught:
                await transport.complete(asking("Hello"))
            assert "whole" in str(caught.value.hint)
            await transport.close()

    asyncio.run(run())


def test_a_worker_that_dies_at_once_each_time_is_no_outage_to_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = find_weights("local")

    async def run() -> None:
        async with ConcurrencyManager(cpu=1, memory=1 << 30) as manager:
            monkeypatch.setattr(transport_module, "serve", _die)
            transport = LocalTransport(weights, manager, memory=1 << 20)
            with pytest.raises(UnknownModelError, match="could not be started") as caught:
                await transport.complete(asking("Hello"))
            assert "processor" in str(caught.value.hint)
            await transport.close()

    asyncio.run(run())


def _die(_: object) -> str:
    os._exit(1)

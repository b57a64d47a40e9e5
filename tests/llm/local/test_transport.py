"""Calls of a model on this machine go wrong one by one: what ends one of them leaves the others alone."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tenire.concurrency import ConcurrencyManager
from tenire.errors import ServerError
from tenire.llm.local import LocalTransport
from tenire.llm.local import transport as transport_module
from tenire.llm.records import ChatRequest

from ..servers import CHAT, Server, answer, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def asking(text: str) -> ChatRequest:
    return ChatRequest("local", ({"role": "user", "content": text},), 12)


class Worker:
    """An engine whose worker has servers, one after the other: each is there until it has died."""

    def __init__(self, engine: ConcurrencyManager, *servers: Server) -> None:
        self._engine = engine
        self.servers = list(servers)
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def submit(self, *args: Any, **options: Any) -> str:
        self.asked += 1
        return self.servers[0].url.removesuffix("/v1")


@asynccontextmanager
async def model(*servers: Server) -> AsyncIterator[tuple[LocalTransport, Worker]]:
    async with ConcurrencyManager(cpu=1, memory=1000, adaptive=False) as engine:
        worker: Any = Worker(engine, *servers)
        transport = LocalTransport(Path("model.gguf"), worker, memory=600)
        try:
            yield transport, worker
        finally:
            await transport.close()


class Slots:
    """A server that answers, but holds a story until it is released, and hangs up on noise."""

    def __init__(self) -> None:
        self.held = asyncio.Event()
        self.released = asyncio.Event()
        self.hung_up_on = asyncio.Event()
        self.url = ""
        self._talks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Any]:
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        try:
            yield self
        finally:
            server.close()
            if self._talks:
                await asyncio.wait(self._talks)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        with suppress(ConnectionError):
            asked = await reader.read(1 << 16)
            if b"story" in asked:
                self.held.set()
                gone = asyncio.create_task(reader.read())
                released = asyncio.create_task(self.released.wait())
                await asyncio.wait((gone, released), return_when=asyncio.FIRST_COMPLETED)
                if gone.done():
                    self.hung_up_on.set()
                gone.cancel()
                released.cancel()
            if b"noise" not in asked:
                writer.write(answer(CHAT, headers={"Connection": "close"}))
                await writer.drain()
        writer.close()


def test_a_call_that_nobody_answers_leaves_the_other_one_to_go_on() -> None:
    async def main() -> None:
        async with Slots().serving() as server, model(server) as (transport, worker):
            story = asyncio.create_task(transport.complete(asking("story")))
            await server.held.wait()
            with pytest.raises(ServerError) as caught:
                await transport.complete(asking("noise"))
            assert caught.value.status is None
            assert (await transport.complete(asking("hello"))).text == "hello"
            assert worker.asked == 2  # is there still a server?
            server.released.set()
            assert (await story).text == "hello"
            assert worker.asked == 2

    asyncio.run(asyncio.wait_for(main(), 20))


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_that_is_given_up_hangs_up_on_the_server_and_nothing_else(*, stream: bool) -> None:
    async def ask(transport: LocalTransport, text: str) -> str:
        if stream:
            return "".join([part.text async for part in transport.stream(asking(text))])
        return (await transport.complete(asking(text))).text

    async def main() -> None:
        async with Slots().serving() as server, model(server) as (transport, worker):
            call = asyncio.create_task(ask(transport, "story"))
            await server.held.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await server.hung_up_on.wait()
            assert (await transport.complete(asking("hello"))).text == "hello"
            assert worker.asked == 1

    asyncio.run(asyncio.wait_for(main(), 20))


def test_a_worker_that_has_died_has_another_server_and_the_old_connections_are_closed() -> None:
    async def main() -> None:
        async with serving(answer(CHAT)) as second, Slots().serving() as first:
            async with model(first, second) as (transport, worker):
                with pytest.raises(ServerError):
                    await transport.complete(asking("noise"))
                old = transport._http
                worker.servers.pop(0)
                async with asyncio.TaskGroup() as group:
                    calls = [group.create_task(transport.complete(asking("hello"))) for _ in range(3)]
                assert [call.result().text for call in calls] == ["hello"] * 3
                assert worker.asked == 2
                assert old is not None
                assert old._closed
            assert len(second.asked) == 3

    asyncio.run(asyncio.wait_for(main(), 20))


def test_how_long_a_reply_may_take_is_up_to_whoever_asks() -> None:
    async def main() -> None:
        async with serving(answer(CHAT)) as server, model(server) as (transport, _):
            await transport.complete(asking("hello"))
            assert transport._http is not None
            assert transport._http._session is not None
            limits = transport._http._session.timeout
            assert (limits.total, limits.sock_read) == (None, None)
            assert limits.connect == transport_module._TIMEOUTS.connect

    asyncio.run(main())

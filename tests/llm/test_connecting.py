"""Calls that are given up before they are sent: nothing was bought, and without a connection nothing was tried."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tenire.core.outages import Sign
from tenire.errors import CallTimeoutError, ModelError, ServerError
from tenire.llm import ChatClient, Price
from tenire.llm.failures import is_unconnected, is_unsent, mark_unsent, sign_of_outage
from tenire.llm.records import ChatRequest
from tenire.llm.transport import HttpTransport

from .models import MODEL, Model, simulate
from .servers import HANG, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tenire.testing import SimLoop

REQUEST = ChatRequest(MODEL, ({"role": "user", "content": "Hello"},), 80)
PRICE = Price(1.0, 2.0)


@asynccontextmanager
async def black_hole() -> AsyncIterator[tuple[str, asyncio.Event]]:
    """Take up what wants to connect, and never say a word of TLS; the event says that somebody came."""
    came = asyncio.Event()

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", came
    finally:
        server.close()


async def ended(task: asyncio.Task[Any]) -> BaseException:
    task.cancel()
    try:
        await task
    except asyncio.CancelledError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_that_is_cancelled_tells_whether_it_was_connected(stream: bool) -> None:
    async def cancelled(url: str, came: asyncio.Event) -> BaseException:
        transport = HttpTransport(url)

        async def collected() -> Any:
            return [part async for part in transport.stream(REQUEST)]

        try:
            task = asyncio.create_task(collected() if stream else transport.complete(REQUEST))
            await came.wait()
            return await ended(task)
        finally:
            await transport.close()

    async def main() -> None:
        async with black_hole() as (url, came):
            assert is_unconnected(await cancelled(url, came))
        async with serving(HANG) as server:
            assert not is_unconnected(await cancelled(server.url, server.called))

    asyncio.run(main())


@pytest.mark.parametrize("whole", [True, False])
def test_of_a_large_call_that_is_cancelled_it_is_known_whether_all_of_it_was_sent(whole: bool) -> None:
    async def main() -> BaseException:
        came = asyncio.Event()

        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            if whole:
                await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            came.set()
            await over.wait()
            writer.transport.abort()

        over = asyncio.Event()
        server = await asyncio.start_server(take, "127.0.0.1", 0, limit=4096)
        transport = HttpTransport(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        request = ChatRequest(MODEL, ({"role": "user", "content": "x" * (24 << 20)},))
        try:
            task = asyncio.create_task(transport.complete(request))
            await came.wait()
            return await ended(task)
        finally:
            over.set()
            await transport.close()
            server.close()

    error = asyncio.run(main())
    assert is_unsent(error) is not whole
    assert not is_unconnected(error), "the server was reached"


@pytest.mark.parametrize("way", ["cancelled", "deadline"])
def test_a_call_that_is_given_up_while_it_is_connected_costs_nothing(way: str) -> None:
    async def main() -> None:
        async with (
            black_hole() as (url, came),
            ChatClient(MODEL, base_url=url, api_key="k", price=PRICE, budget_usd=1.0) as client,
        ):
            task = asyncio.create_task(client.complete("Hello", deadline=0.2 if way == "deadline" else None))
            if way == "cancelled":
                await came.wait()
                task.cancel()
            await asyncio.wait([task])
            assert task.cancelled() or isinstance(task.exception(), CallTimeoutError)
            spent = client.statistics()
            assert (spent.cost_usd, spent.guessed_usd) == (0.0, 0.0)
            assert client.books.purse.held_usd == 0

    asyncio.run(main())


@pytest.mark.parametrize("own", [False, True])
def test_a_connection_that_is_not_made_is_the_networks_failure_however_short_the_timeout(own: bool) -> None:
    """A transport of the user's has limits of its own, which may be longer."""

    async def main() -> Exception:
        async with black_hole() as (url, _):
            way: dict[str, Any] = {"transport": HttpTransport(url)} if own else {"base_url": url, "api_key": "k"}
            async with ChatClient(MODEL, **way, timeout=0.2, retry=1, price=PRICE) as client:
                with pytest.raises((ModelError, CallTimeoutError)) as caught:
                    await client.complete("Hello")
                assert client.statistics().cost_usd == 0
                return caught.value

    error = asyncio.run(main())
    assert sign_of_outage(error) is Sign.UNREACHED
    if not own:
        assert isinstance(error, ServerError)
        assert "no connection in time" in str(error)
        assert "is the server running" in (error.hint or "")


class Cut(Model):
    """Has its network cut for an hour: whoever connects hears nothing, until it gives up."""

    async def _take(self) -> None:
        now = asyncio.get_running_loop().time
        while 60 <= now() < 3660:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError as error:
                mark_unsent(error, connected=False)
                raise
        await super()._take()


def test_tries_that_never_got_a_connection_do_not_count(sim_loop: SimLoop) -> None:
    async def scenario(client: ChatClient) -> None:
        await client.complete("before")
        await asyncio.sleep(60)
        reply = await client.complete("meanwhile")
        assert reply.text == "re: meanwhile"
        assert asyncio.get_running_loop().time() > 3600
        spent = client.statistics()
        assert spent.retries > 8
        assert spent.guessed_usd == 0

    simulate(sim_loop, scenario, Cut(), timeout=2.0, price=PRICE)


def test_a_call_that_was_sent_and_timed_out_is_no_sign_of_an_outage(sim_loop: SimLoop) -> None:
    async def scenario(client: ChatClient) -> None:
        with pytest.raises(CallTimeoutError) as caught:
            await client.complete("Hello")
        assert sign_of_outage(caught.value) is None
        assert client.statistics().guessed_usd > 0

    simulate(sim_loop, scenario, Model(seconds=60), timeout=2.0, retry=1, price=PRICE)

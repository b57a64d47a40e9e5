"""When a client may be used: while it is open, and as often as one likes."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import pytest

from tenire.errors import RejectedError, StoreError
from tenire.llm.client import ChatClient

from .models import MODEL, Model, simulate

if TYPE_CHECKING:
    from pathlib import Path

    from tenire.testing import SimLoop


def test_a_client_that_is_open_is_not_opened_again_and_goes_on(sim_loop: SimLoop) -> None:
    async def scenario(client: ChatClient) -> None:
        with pytest.raises(RejectedError, match="open already"):
            await client.__aenter__()
        assert (await client.complete("Hello")).text == "re: Hello"

    simulate(sim_loop, scenario, Model())


def test_a_client_that_was_closed_says_so_and_can_be_opened_again(tmp_path: Path) -> None:
    async def main() -> None:
        client = ChatClient(MODEL, transport=Model(seconds=0), home=tmp_path)
        async with client:
            assert not (await client.complete("Hello")).cached
        with pytest.raises(RejectedError, match="the client is closed"):
            await client.complete("Hello")
        assert client.statistics().calls == 1
        async with client:
            assert (await client.complete("Hello")).cached

    asyncio.run(main())


def test_a_client_that_could_not_be_opened_can_be_opened_later(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_text("in the way")

    async def main() -> None:
        client = ChatClient(MODEL, transport=Model(seconds=0), home=home)
        for _ in range(2):
            with pytest.raises(StoreError, match="must be a directory"):
                await client.__aenter__()
        await asyncio.to_thread(home.unlink)
        async with client:
            assert (await client.complete("Hello")).text == "re: Hello"

    asyncio.run(main())


def test_rows_leave_nothing_for_the_garbage_collector() -> None:
    async def garbage_of(client: ChatClient, prompts: range) -> int:
        gc.collect()
        gc.disable()
        try:
            async for reply in client.map(str(number) for number in prompts):
                assert reply.error is None
            await asyncio.sleep(0)
            return gc.collect()
        finally:
            gc.enable()

    async def main() -> tuple[int, int]:
        async with ChatClient(MODEL, transport=Model(seconds=0), max_concurrency=8) as client:
            await garbage_of(client, range(20))  # what is made once for all
            return await garbage_of(client, range(100, 120)), await garbage_of(client, range(200, 320))

    few, many = asyncio.run(main())
    assert many - few < 20

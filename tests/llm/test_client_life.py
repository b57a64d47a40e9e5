"""When a client may be used: while it is open, and as often as one likes."""

from __future__ import annotations

import asyncio
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

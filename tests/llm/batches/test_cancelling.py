"""Whoever waits for a batch is cancelled at each await: nothing is lost, and nothing is paid for twice."""

from __future__ import annotations

import asyncio
import itertools
import os
from typing import TYPE_CHECKING

import pytest

from tenire.llm.client import ChatClient
from tenire.testing import cancel_sweep

from .fake_provider import FakeTransport, ServerOfBatches
from .programs import MODEL, PRICE, PROMPTS, spent

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_replies_of_a_batch(tmp_path: Path) -> None:
    numbers = itertools.count()
    server, home = ServerOfBatches(), tmp_path

    async def ask() -> int:
        transport = FakeTransport(server)
        async with ChatClient(MODEL, transport=transport, home=home, price=PRICE, max_output_tokens=20) as client:
            return len([reply async for reply in client.batch(PROMPTS[:3]) if reply.error is None])

    async def scenario() -> None:
        nonlocal server, home
        server, home = ServerOfBatches(), tmp_path / str(next(numbers))
        assert await ask() == 3

    async def check() -> None:
        # The next program fetches what this one has asked for.
        assert await ask() == 3
        assert server.sent_lines == 3
        assert await asyncio.to_thread(lambda: spent(home)[::2]) == (3, 0)

    every = int(os.environ.get("TENIRE_SWEEP_EVERY", "6"))
    report = cancel_sweep(scenario, check=check, loop_factory=asyncio.new_event_loop, every=every)
    assert report.runs >= 4

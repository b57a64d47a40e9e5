"""The page's server is cancelled at each await of its start, its work and its end."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from tenire.dashboard import Dashboard
from tenire.storage.home import Home
from tenire.testing import cancel_sweep

if TYPE_CHECKING:
    from pathlib import Path


def test_a_server_that_starts_serves_and_ends(tmp_path: Path) -> None:
    home = Home(tmp_path)
    ports: list[int] = []

    async def scenario() -> None:
        async with Dashboard(home, port=0) as dashboard:
            ports.append(dashboard.port)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.02):
                    await dashboard.wait_ended()

    async def check() -> None:
        for port in ports:
            with contextlib.suppress(ConnectionError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                raise AssertionError(f"port {port} still answers")
        ports.clear()

    assert cancel_sweep(scenario, check=check, loop_factory=asyncio.new_event_loop).runs >= 4

"""The page's server is cancelled at each await of its start, its work and its end."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from tenire import ConcurrencyManager, dashboard
from tenire.dashboard import Dashboard
from tenire.storage.home import Home
from tenire.testing import cancel_sweep

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


async def refused(ports: list[int]) -> None:
    for port in ports:
        with contextlib.suppress(ConnectionError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            raise AssertionError(f"port {port} still answers")
    ports.clear()


def test_a_server_that_starts_serves_and_ends(tmp_path: Path) -> None:
    home = Home(tmp_path)
    ports: list[int] = []

    async def scenario() -> None:
        async with Dashboard(home, port=0) as served:
            ports.append(served.port)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.02):
                    await served.wait_ended()

    async def check() -> None:
        await refused(ports)

    assert cancel_sweep(scenario, check=check, loop_factory=asyncio.new_event_loop).runs >= 4


def test_the_page_of_an_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenire.dashboard.server.DEFAULT_PORT", 0)
    home = Home(tmp_path)
    ports: list[int] = []

    def note(address: str) -> None:
        ports.append(int(address.partition("/?")[0].rpartition(":")[2]))

    async def scenario() -> None:
        async with (
            ConcurrencyManager(cpu=1, memory=1, adaptive=False) as manager,
            dashboard.beside_engine(manager, home, on_address=note),
        ):
            await asyncio.sleep(0.01)

    async def check() -> None:
        await refused(ports)

    assert cancel_sweep(scenario, check=check, loop_factory=asyncio.new_event_loop).runs >= 4

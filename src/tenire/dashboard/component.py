"""The page of a run: a component of its engine.

1. The supervisor starts it again when it fails or hangs, with the same port and token: its
   address stays true, and pages that were open come back by themselves.
2. The run goes on whatever becomes of it, also without it if it fails too often.
3. Its waits hang on the engine's timer.
"""

from __future__ import annotations

import secrets
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from tenire.concurrency import Child
from tenire.concurrency.blocking import run_blocking
from tenire.concurrency.unbroken import unbroken
from tenire.dashboard.server import Dashboard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tenire.concurrency import ConcurrencyManager, Life
    from tenire.storage.home import Home

__all__ = ["beside_engine"]

_NAME = "dashboard"
_SILENCE_S = 60.0


@asynccontextmanager
async def beside_engine(
    manager: ConcurrencyManager, home: Home, *, on_address: Callable[[str], object]
) -> AsyncIterator[None]:
    """Serve the page from an engine's own loop while the block runs.

    Args:
        manager: The engine.
        home: Its home.
        on_address: Called with the address, token included, once it is up for the first time.
    """
    token = secrets.token_urlsafe(32)
    port: int | None = None
    served: Dashboard | None = None
    looks = 0

    async def live(life: Life) -> None:
        nonlocal port, served, looks
        # On a thread: it looks for packages.
        make = partial(Dashboard, home, port=port, token=token, timer=manager.timer)
        async with await run_blocking(make) as dashboard:
            if port is None:
                port = dashboard.port
                on_address(dashboard.address)
            served, looks = dashboard, 0
            life.ready()
            await dashboard.wait_ended()

    def ask(beat: Callable[[], None]) -> None:
        nonlocal looks
        if served is not None and served.feed.looks != looks:
            looks = served.feed.looks
            beat()

    await manager.supervisor.add(Child(_NAME, live, optional=True, silence=_SILENCE_S, ask=ask))
    try:
        yield
    finally:
        # To the end even if cancelled: nobody may be let in after the run.
        await unbroken(manager.supervisor.remove(_NAME))

"""A dashboard, and a run that it shows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from tests.app.conftest import LEDGERS, ZEBRAS, write

from tenire.app.config import load_config
from tenire.app.runs import arun_config
from tenire.dashboard import Dashboard
from tenire.storage.home import Home

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TOKEN = "the-token-of-these-tests"


@pytest.fixture
def served(tmp_path: Path) -> Callable[..., Any]:
    """Runs a scenario beside a dashboard; with a run of two pipelines, which are held back, if asked for."""
    write(tmp_path / "one" / "a.txt", ZEBRAS)
    write(tmp_path / "one" / "b.pdf", "%PDF-1.4 this is no document")
    write(tmp_path / "two" / "a.txt", LEDGERS)
    head = 'embedder = "static"\nsource'
    text = f'[tenire]\nhome = "home"\n[pipelines.one]\n{head} = "one"\n[pipelines.two]\n{head} = "two"\n'
    config, home = load_config(write(tmp_path / "tenire.toml", text)), Home(tmp_path / "home")

    def run(scenario: Any, *, running: bool = False, **options: Any) -> Any:
        async def main() -> Any:
            made = Dashboard(home, port=0, token=TOKEN, **options)
            async with made as dashboard, aiohttp.ClientSession(f"http://127.0.0.1:{dashboard.port}") as client:
                if not running:
                    return await scenario(dashboard, client)
                begun = asyncio.Event()
                run = asyncio.create_task(arun_config(config, on_start=lambda _: begun.set()))
                await begun.wait()
                for name in ("one", "two"):  # at once: a browser starts more slowly than they end
                    await dashboard.feed.actions.pause(name)
                try:
                    return await scenario(dashboard, client)
                finally:  # also of one that holds pipelines back
                    run.cancel()
                    await asyncio.wait([run])

        return asyncio.run(main())

    return run

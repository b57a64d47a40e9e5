"""A pool of pages is cancelled at each await: no browser, connection, turn or page stays behind."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from tests.browser.site import Response, Site, page

from tenire.browser import BrowserPool, Crawl
from tenire.storage.pages import PageShelf
from tenire.testing import cancel_sweep

if TYPE_CHECKING:
    from pathlib import Path

SITE = {"/robots.txt": "User-agent: *\nAllow: /", "/": page("hello", links=("/a",)), "/a": page("a")}


def sweep(use: Any, chromium: str, *, every: int = 1, **options: Any) -> int:
    site = Site({**SITE, "/file": Response(b"bytes", content_type="application/pdf")})

    async def scenario() -> None:
        async with BrowserPool(executable=chromium, private=["127.0.0.1"], delay=0, **options) as pool:
            await use(pool, site)

    before = set(psutil.Process().children(recursive=True))  # what other tests need, as multiprocessing's tracker

    def check() -> None:
        assert not set(psutil.Process().children(recursive=True)) - before

    def work() -> int:
        return cancel_sweep(scenario, check=check, loop_factory=asyncio.new_event_loop, every=every).runs

    async def main() -> int:
        async with site:  # on a loop of its own, so that only the pool is cancelled
            return await asyncio.to_thread(work)

    return asyncio.run(main())


def test_an_answer_without_a_browser(chromium: str, tmp_path: Path) -> None:
    async def use(pool: BrowserPool, site: Site) -> None:
        assert (await pool.look(site.url("/"))).status == 200
        await pool.forget("me")

    assert sweep(use, chromium, home=tmp_path) >= 10


@pytest.mark.slow
def test_pages_of_a_browser(chromium: str, tmp_path: Path) -> None:
    async def use(pool: BrowserPool, site: Site) -> None:
        await pool.fetch(site.url("/"), session="me")
        await pool.screenshot(site.url("/"), tmp_path / "picture.png")
        await pool.download(site.url("/file"), tmp_path / "file.pdf")
        async with pool.page(site.url("/a")) as shown:
            await shown.title()

    every = int(os.environ.get("TENIRE_SWEEP_EVERY", "20"))
    assert sweep(use, chromium, every=every, home=tmp_path) >= 2


@pytest.mark.slow
def test_a_crawl(chromium: str, tmp_path: Path) -> None:
    shelf = PageShelf(tmp_path)

    async def use(pool: BrowserPool, site: Site) -> None:
        crawl = Crawl(pool, shelf, [site.url("/")], depth=1)
        assert len((await crawl.run()).kept) == 2

    try:
        assert sweep(use, chromium, every=int(os.environ.get("TENIRE_SWEEP_EVERY", "4"))) >= 2
    finally:
        shelf.close()

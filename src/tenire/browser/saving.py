"""What is brought back from a page besides its text: a picture of it, or a file."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

from tenire.browser.errors import PageError, PageTooLargeError
from tenire.browser.visit import visit
from tenire.concurrency.blocking import run_blocking

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Download, Page

    from tenire.browser.visit import Traffic, VisitSettings

__all__ = ["downloaded", "pictured"]


async def pictured(page: Page, url: str, traffic: Traffic, settings: VisitSettings, *, full_page: bool) -> bytes:
    """Return a picture of a page, as PNG."""
    await visit(page, url, traffic, settings)
    return await page.screenshot(full_page=full_page, timeout=settings.timeout * 1000)


async def downloaded(page: Page, url: str, traffic: Traffic, settings: VisitSettings, target: Path) -> Path:
    """Bring a file over, whole or not at all.

    A browser shows some files and downloads others; both are the same file here.

    Raises:
        PageError: If there is none.
        PageTooLargeError: If it is larger than allowed.
    """
    arrived: asyncio.Future[Download] = asyncio.get_running_loop().create_future()

    def on_download(download: Download) -> None:
        if not arrived.done():
            arrived.set_result(download)

    page.on("download", on_download)
    try:
        fetched = await visit(page, url, traffic, settings)
        if not fetched.ok:
            message = f"{url} cannot be had: its host answers {fetched.status}"
            raise PageError(message, url=url, status=fetched.status)
        beside = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            if traffic.downloads:
                await (await arrived).save_as(beside)
            else:
                assert traffic.main is not None
                await run_blocking(beside.write_bytes, await traffic.main.body())
            await run_blocking(_put, beside, target, url, settings.max_bytes)
        finally:
            with contextlib.suppress(FileNotFoundError):
                await run_blocking(beside.unlink)
    finally:
        page.remove_listener("download", on_download)
    return target


def _put(beside: Path, target: Path, url: str, most: int) -> None:
    size = beside.stat().st_size
    if size > most:
        message = f"{url} has {size:,} bytes, more than max_bytes ({most:,})"
        raise PageTooLargeError(message, url=url, hint="raise max_bytes=, or leave it out")
    os.replace(beside, target)

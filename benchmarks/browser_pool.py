"""Pages a second through a pool of contexts, against a fresh context for each page.

Both go through one browser of their own kind, with as many pages at the same time, to the same
local site; interleaved round by round, so that a busy moment of the machine hits both. The
fresh ones are Playwright alone: no gate, no pauses, no robots.txt, no retries.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import TYPE_CHECKING, Any

from _common import report, spread

from tenire.browser import BrowserPool, find_chromium
from tenire.errors import MissingExtraError

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

ROUNDS = 7
PAGES = 60
AT_ONCE = 4
MUST, AIM = 2.5, 4.0
BODY = ("<!DOCTYPE html><title>page</title>" + "<p>Some words of a page that is like many others.</p>" * 100).encode()
HEAD = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()


async def serve(reader: StreamReader, writer: StreamWriter) -> None:
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(HEAD + BODY)
            await writer.drain()
    except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
        pass
    finally:
        writer.close()


async def many(visit: Any, address: str) -> float:
    """Return pages a second."""
    numbers = iter(range(PAGES))

    async def work() -> None:
        for number in numbers:
            await visit(f"{address}/{number}")

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(work())
    return PAGES / (time.perf_counter() - started)


async def measure(executable: str) -> dict[str, list[float]]:
    from playwright.async_api import async_playwright

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    rates: dict[str, list[float]] = {"fresh": [], "pool": []}
    async with (
        async_playwright() as playwright,
        BrowserPool(executable=executable, private=["127.0.0.1"], delay=0, at_once=AT_ONCE, pages=AT_ONCE) as pool,
    ):
        flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = await playwright.chromium.launch(executable_path=executable, args=flags)

        async def fresh(url: str) -> None:
            context = await browser.new_context()
            page = await context.new_page()
            await page.goto(url)
            assert "like many others" in await page.content()
            await context.close()

        async def pooled(url: str) -> None:
            assert "like many others" in (await pool.fetch(url)).html

        for number in range(-1, ROUNDS):
            for name, visit in (("fresh", fresh), ("pool", pooled)):
                rate = await many(visit, address)
                if number >= 0:
                    rates[name].append(rate)
        await browser.close()
    server.close()
    return rates


def main() -> int:
    """Measure and print."""
    try:
        executable = find_chromium()
    except MissingExtraError as error:
        print(f"skipped: {error} ({error.hint})")
        return 0
    rates = asyncio.run(measure(executable))
    ratio = statistics.median(rates["pool"]) / statistics.median(rates["fresh"])
    report(
        "browser_pool",
        pages_per_s={name: spread(values, 1) for name, values in rates.items()},
        ratio=round(ratio, 2),
        at_once=AT_ONCE,
        must=MUST,
        aim=AIM,
        within=ratio >= MUST,
    )
    return 0 if ratio >= MUST else 1


if __name__ == "__main__":
    raise SystemExit(main())

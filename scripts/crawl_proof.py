"""Kills the browser and its driver in the middle of a crawl and proves that no page is lost, or comes twice.

    python scripts/crawl_proof.py [--pages 500] [--kills 5] [--seed 1]

A site of linked pages on this machine is crawled, and at random moments either the driver or
the browser is killed with SIGKILL. In the end every page must be kept exactly once with its own
text, none may be refused, and no process may be left. A second crawl must render nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil

from tenire.browser import BrowserPool, Crawl, CrawlResult
from tenire.storage.pages import PageShelf

BRANCHES = 5


class Pages(BaseHTTPRequestHandler):
    """Page ``/N`` leads to the next five that nobody else leads to."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    count = 0

    def do_GET(self) -> None:
        """Answer."""
        name = self.path.strip("/")
        number = int(name) if name.isdecimal() else -1
        if not 0 <= number < self.count:
            self._send(404, "")
            return
        links = range(BRANCHES * number + 1, min(self.count, BRANCHES * number + BRANCHES + 1))
        anchors = " ".join(f'<a href="/{link}">{link}</a>' for link in links)
        self._send(200, f"<title>{number}</title><p>This is page {number}, and no other.</p>{anchors}")

    def _send(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


async def crawl(shelf: PageShelf, address: str, pages: int, kills: int, rng: random.Random) -> tuple[CrawlResult, int]:
    """Crawl, and kill meanwhile; return the result, and how many browsers were lost."""
    async with BrowserPool(private=["127.0.0.1"], delay=0, at_once=16, pages=6) as pool:
        moments = sorted(rng.sample(range(pages // 20, pages - pages // 20), kills))
        done = 0

        def on_page() -> None:
            nonlocal done
            done += 1
            if moments and done >= moments[0] and pool.pids:
                moments.pop(0)
                which = rng.randrange(2)
                print(f"  page {done}: kill the {('driver', 'browser')[which]}", flush=True)
                os.kill(pool.pids[which], signal.SIGKILL)

        task = Crawl(pool, shelf, [f"{address}/0"], depth=99, limit=pages + 10, at_once=6, on_page=on_page)
        return await task.run(), pool.statistics().lost


def main() -> None:
    """Crawl, compare, print; exit with an error if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=500)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    Pages.count = options.pages
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    with tempfile.TemporaryDirectory() as folder:
        shelf = PageShelf(Path(folder))
        try:
            rng = random.Random(options.seed)
            started = time.perf_counter()
            result, lost = asyncio.run(crawl(shelf, address, options.pages, options.kills, rng))
            seconds = time.perf_counter() - started
            check(result, lost, address, options.pages, options.kills)
            again, _ = asyncio.run(crawl(shelf, address, options.pages, 0, rng))
        finally:
            shelf.close()
    server.shutdown()
    server.server_close()
    if again.rendered or len(again.kept) != options.pages:
        raise SystemExit(f"error: the second crawl kept {len(again.kept)} pages and rendered {again.rendered}, not 0")
    if left := psutil.Process().children(recursive=True):
        raise SystemExit(f"error: left behind: {', '.join(process.name() for process in left)}")
    deaths = f"{lost} browsers and drivers killed"
    print(f"{options.pages} pages, {deaths}: 0 lost, 0 twice, no child left ({seconds:.0f} s)")


def check(result: CrawlResult, lost: int, address: str, pages: int, kills: int) -> None:
    """Exit with an error unless each page is kept once, as it is."""
    expected = {f"{address}/{number}" for number in range(pages)}
    if lost != kills or result.refused or result.stale or set(result.kept) != expected:
        missing = len(expected - set(result.kept))
        raise SystemExit(f"error: {lost} of {kills} deaths seen, {missing} pages missing, refused: {result.refused}")
    if result.rendered != pages:
        raise SystemExit(f"error: {result.rendered} pages came for {pages}: some came twice")
    for url, kept in result.kept.items():
        number = url.rpartition("/")[2]
        if f"This is page {number}, and no other." not in Path(kept.file).read_text(encoding="utf-8"):
            raise SystemExit(f"error: {url} holds another page")


if __name__ == "__main__":
    main()

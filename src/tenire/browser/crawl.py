"""A crawl: from addresses to pages that are kept, and what became of each.

::

    frontier ─► known? ── yes ─► ask without a browser ── same ───────────────┐
                  │                      │ changed, or it cannot be known     ▼
                  └── no ────────────────┴─► render, or get the file ─► kept, with its links ─► frontier

1. Each address comes to one end: kept, refused, skipped, or gone.
2. What cannot be had for the moment, and was kept before, stays as it is, and leads where it
   led: a host that is down for an hour must not empty a store.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tenire.browser.errors import PageError
from tenire.browser.urls import host_of, normal
from tenire.concurrency.blocking import run_blocking
from tenire.core.frontier import Frontier
from tenire.core.page_freshness import Freshness, KnownPage, can_be_asked, freshness

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tenire.browser.looking import Answer
    from tenire.browser.page import FetchedPage
    from tenire.browser.pool import BrowserPool
    from tenire.core.frontier import Visit
    from tenire.storage.pages import KeptPage, PageShelf

__all__ = ["Crawl", "CrawlResult"]

_SUFFIXES = {
    "application/pdf": ".pdf",
    "text/plain": ".txt",
    "text/markdown": ".md",
    "text/csv": ".csv",
    "application/json": ".json",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/epub+zip": ".epub",
}
"""Files that are read besides pages; pictures, archives and programs are not."""
_HTML = ("text/html", "application/xhtml+xml")

_log = logging.getLogger("tenire.browser")


@dataclass(slots=True)
class CrawlResult:
    """What became of the addresses of a crawl.

    Attributes:
        kept: Pages that are there, by address.
        refused: Why those are not that cannot be used.
        skipped: Addresses of files that hold no text.
        stale: Why those were not looked at again that stay as they are.
        rendered: Pages that a browser rendered.
        left_out: Addresses beyond the limit.
    """

    kept: dict[str, KeptPage] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    stale: dict[str, str] = field(default_factory=dict)
    rendered: int = 0
    left_out: int = 0


class _StatusError(PageError):
    """A page answered with a status that is none of success."""


class Crawl:
    """One crawl.

    Args:
        pool: Fetches the pages.
        shelf: Keeps them.
        urls: The pages to begin with; links are followed on their hosts only.
        depth: Most links that are followed from one of them.
        limit: Most pages.
        at_once: Most pages at the same time.
        session: Whose cookies they are fetched with, or ``None``.
        on_page: Called after each page.

    Raises:
        PageError: If one of the addresses is none.
    """

    def __init__(
        self,
        pool: BrowserPool,
        shelf: PageShelf,
        urls: Sequence[str],
        *,
        depth: int = 0,
        limit: int = 1000,
        at_once: int = 4,
        session: str | None = None,
        on_page: Callable[[], object] = lambda: None,
    ) -> None:
        self._pool = pool
        self._shelf = shelf
        starts = [normal(url) for url in urls]
        self._hosts = {host_of(url) for url in starts}
        self._frontier = Frontier(starts, depth=depth, limit=limit)
        self._at_once = at_once
        self._session = session
        self._on_page = on_page
        self._changed = asyncio.Event()
        self.result = CrawlResult()

    @property
    def known(self) -> int:
        """Pages that came, or will come as far as is known."""
        return self._frontier.known

    async def run(self) -> CrawlResult:
        """Visit all pages; return what became of each.

        Raises:
            TenireError: If no browser can be started, or pages cannot be kept.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._at_once):
                    group.create_task(self._work())
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        self.result.left_out = self._frontier.left_out
        return self.result

    async def _work(self) -> None:
        while not self._frontier.is_over:
            visit = self._frontier.take()
            if visit is None:
                self._changed.clear()
                await self._changed.wait()
                continue
            links = await self._visit(visit)
            self._frontier.done(visit, [link for link in links if host_of(link) in self._hosts])
            self._changed.set()
            self._on_page()

    async def _visit(self, visit: Visit) -> tuple[str, ...]:
        """Bring a page to its end (rule 1); return where it leads."""
        url, result = visit.url, self.result
        before = await run_blocking(self._shelf.get, url)
        try:
            kept = await self._fetched(visit, before)
        except PageError as error:
            verdict = freshness(error.status) if isinstance(error, _StatusError) else None
            later = verdict is Freshness.LATER or (verdict is None and error.temporary)
            if later and before is not None and self._frontier.led_to(visit, before.final_url):  # rule 2
                result.kept[url] = before
                result.stale[url] = str(error)
                _log.warning("%s stays as it is: %s", url, error)
                return before.links
            if verdict is not Freshness.GONE or before is None:
                result.refused[url] = f"{error} ({error.hint})" if error.hint else str(error)
            return ()
        if kept is None:
            return ()
        result.kept[url] = kept
        return kept.links

    async def _fetched(self, visit: Visit, before: KeptPage | None) -> KeptPage | None:
        url = visit.url
        known = None
        if before is not None and self._session is None:
            known = KnownPage(before.etag, before.modified, before.source_hash, before.dynamic)
        if before is not None and can_be_asked(known):
            headers = {}
            if before.etag:
                headers["If-None-Match"] = before.etag
            if before.modified:
                headers["If-Modified-Since"] = before.modified
            answer = await self._pool.look(url, headers)
            source_hash = hashlib.sha256(answer.body).hexdigest()
            verdict = freshness(answer.status, known, source_hash)
            if verdict is Freshness.KEEP:
                return before if self._frontier.led_to(visit, before.final_url) else None
            if verdict is not Freshness.RENDER:
                raise _status(url, answer.status)
            if answer.content_type not in _HTML:
                return await self._file(visit, answer)
        page = await self._pool.fetch(url, session=self._session, hashed=True)
        if freshness(page.status) is not Freshness.RENDER:
            raise _status(url, page.status)
        if not page.is_html:
            if page.content_type not in _SUFFIXES:
                self.result.skipped.append(url)
                return None
            return await self._file(visit, await self._got(url))
        return await self._rendered(visit, page)

    async def _got(self, url: str) -> Answer:
        """Get what is a file to a browser."""
        answer = await self._pool.look(url, session=self._session)
        if freshness(answer.status) is not Freshness.RENDER:
            raise _status(url, answer.status)
        if answer.content_type in _HTML:  # of a login that needs more than cookies, for example
            message = f"{url} is a file to a browser, and a page to who asks without one"
            raise PageError(message, url=url)
        return answer

    async def _rendered(self, visit: Visit, page: FetchedPage) -> KeptPage | None:
        self.result.rendered += 1
        final = normal(page.final_url)
        if not self._frontier.led_to(visit, final):
            return None  # it is there under its own address
        return await run_blocking(
            self._shelf.put, visit.url, page.html.encode("utf-8", "replace"), ".html", final_url=final,
            etag=page.headers.get("etag", ""), modified=page.headers.get("last-modified", ""),
            source_hash=page.source_hash, dynamic=page.dynamic, links=page.links,
        )  # fmt: skip

    async def _file(self, visit: Visit, answer: Answer) -> KeptPage | None:
        suffix = _SUFFIXES.get(answer.content_type)
        if suffix is None:
            self.result.skipped.append(visit.url)
            return None
        if suffix == ".txt" and urlsplit(visit.url).path.endswith((".md", ".rst")):
            suffix = "." + visit.url.rpartition(".")[2]  # servers call those plain text
        if not self._frontier.led_to(visit, answer.url):
            return None
        return await run_blocking(
            self._shelf.put, visit.url, answer.body, suffix, final_url=answer.url,
            etag=answer.headers.get("etag", ""), modified=answer.headers.get("last-modified", ""),
            source_hash=hashlib.sha256(answer.body).hexdigest(),
        )  # fmt: skip


def _status(url: str, status: int) -> PageError:
    return _StatusError(f"{url} answers {status}", url=url, status=status)

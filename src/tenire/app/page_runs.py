"""A documents pipeline whose documents are web pages: a crawl brings them, then they are read like files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenire.browser import BrowserPool, Crawl, find_chromium
from tenire.browser.engine import require_packages
from tenire.pipeline.pages import PageSource
from tenire.pipeline.progress import StageProgress
from tenire.storage.pages import PageShelf

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenire.app.config_tables import PageSettings
    from tenire.app.recipe_runs import Engine, PipelineRun
    from tenire.browser import CrawlResult
    from tenire.clock import Clock
    from tenire.pipeline.listing import Source
    from tenire.pipeline.progress import PipelineProgress

__all__ = ["PageRun", "check_pages"]

_PAGES = 6
_PAGE_MEMORY = 32 << 20
_PAGE_CPU = 0.5


def check_pages() -> None:
    """Check that pages can be rendered here; blocks.

    Raises:
        MissingExtraError: Says what to install.
    """
    require_packages()
    find_chromium()


class PageRun:
    """One run: the crawl, and the run of what it brought.

    Args:
        name: The pipeline's name.
        engine: The engine.
        settings: Which pages.
        progress: Where to count.
        make: Makes the run of a source.
        whole: Whether these are all pages of the pipeline: what is not there any more leaves.
        clock: For the duration.
    """

    def __init__(
        self,
        name: str,
        *,
        engine: Engine,
        settings: PageSettings,
        progress: PipelineProgress,
        make: Callable[[Source, PipelineProgress], Awaitable[PipelineRun]],
        whole: bool,
        clock: Clock,
    ) -> None:
        self._name = name
        self._engine = engine
        self._settings = settings
        self._progress = progress
        self._make = make
        self._whole = whole
        self._clock = clock
        self._fetch = StageProgress("fetch", unit="page", workers=_PAGES)

    async def run(self) -> None:
        """Run the pipeline to its end.

        Raises:
            TenireError: If it cannot go on. What was fetched is kept.
        """
        progress, started = self._progress, self._clock.now()
        progress.state, progress.stages = "running", [self._fetch]
        shelf: PageShelf = await self._thread(PageShelf, self._engine.session.home.path / "pages" / self._name)
        try:
            found = await self._crawl(shelf)
            files = {url: kept.file for url, kept in found.kept.items()}
            source = PageSource(files, found.refused, found.skipped, self._settings.urls)
            run = await self._make(source, progress)
            progress.stages.insert(0, self._fetch)
            crawled = self._clock.now() - started
            await run.run()
            progress.seconds += crawled
            if self._whole:
                await self._thread(shelf.keep_only, found.kept)
        finally:
            shelf.close()

    async def _crawl(self, shelf: PageShelf) -> CrawlResult:
        settings, fetch, manager = self._settings, self._fetch, self._engine.manager
        async with BrowserPool(
            pages=_PAGES, delay=settings.delay_s, at_once=settings.at_once, robots=settings.robots,
            private=settings.private, images=False, timeout=settings.timeout_s,
            home=self._engine.session.home.path, manager=manager, pipeline=self._name,
            # Also with the smallest budget and a single slot there is a page at a time.
            cpu=min(_PAGE_CPU, manager.cpu), page_memory=min(_PAGE_MEMORY, manager.memory // 2),
        ) as pool:  # fmt: skip
            crawl = Crawl(
                pool, shelf, self._settings.urls, depth=settings.depth, limit=settings.limit, at_once=_PAGES,
                session=settings.session, on_page=lambda: count(),
            )  # fmt: skip

            def count() -> None:
                fetch.done += 1
                fetch.waiting = crawl.known - fetch.done
                fetch.busy_s = self._clock.now() - began

            began = self._clock.now()
            return await crawl.run()

    async def _thread(self, fn: Callable[..., Any], *args: Any) -> Any:
        return await self._engine.manager.submit(
            fn, *args, on="thread", name=f"{self._name}: keep pages", pipeline=self._name
        )

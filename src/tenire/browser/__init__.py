"""Web pages through a real browser: rendered, politely, and nowhere that they must not go.

::

    fetch(url) ─► robots, host's turn ─► permit ─► lease of a context ─► browser ─► gate ─► network
                  core.politeness         engine    core.context_pool    engine     addresses

``BrowserPool`` is the face. Playwright and the browser are loaded when the first page is asked
for; both may die at any time, and are replaced while pages that were on their way go on.
"""

from __future__ import annotations

from tenire.browser.chromium import find_chromium
from tenire.browser.crawl import Crawl, CrawlResult
from tenire.browser.errors import (
    AddressRefusedError,
    BrowserLostError,
    PageError,
    PageTimeoutError,
    PageTooLargeError,
    RobotsError,
)
from tenire.browser.page import FetchedPage
from tenire.browser.pool import BrowserPool
from tenire.browser.statistics import BrowserStatistics

__all__ = [
    "AddressRefusedError",
    "BrowserLostError",
    "BrowserPool",
    "BrowserStatistics",
    "Crawl",
    "CrawlResult",
    "FetchedPage",
    "PageError",
    "PageTimeoutError",
    "PageTooLargeError",
    "RobotsError",
    "find_chromium",
]

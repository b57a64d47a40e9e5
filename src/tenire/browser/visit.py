"""One visit of one page in one context: from an address to what stands there."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tenire.browser.errors import AddressRefusedError, PageError, PageTimeoutError, PageTooLargeError
from tenire.browser.page import FetchedPage
from tenire.browser.urls import host_of, pages_among

if TYPE_CHECKING:
    from playwright.async_api import Error, Page, Request, Response

    from tenire.browser.gate import Gate

__all__ = ["Traffic", "VisitSettings", "failure", "visit"]

_FETCHED_BY_SCRIPT = ("xhr", "fetch", "websocket", "eventsource")
_MOST_LINKS = 10_000

# One round trip. The length first: a page that is too large is not brought over.
_READ = """([most, links]) => {
    const root = document.documentElement;
    const html = root ? root.outerHTML : "";
    if (html.length > most) return {length: html.length};
    const seen = new Set();
    for (const link of document.querySelectorAll("a[href], area[href]")) {
        if (typeof link.href === "string" && seen.size < links) seen.add(link.href);
    }
    return {length: html.length, html, title: document.title, links: [...seen]};
}"""


@dataclass(frozen=True, slots=True)
class VisitSettings:
    """How a page is visited.

    Attributes:
        timeout: Seconds until it has to be there.
        max_bytes: Its largest size, as sent and as rendered.
        wait_until: ``load``, ``domcontentloaded``, ``networkidle`` or ``commit``.
        hashed: Whether to hash what the server sent.
    """

    timeout: float
    max_bytes: int
    wait_until: Any = "load"
    hashed: bool = False


@dataclass(slots=True)
class Traffic:
    """What a page asks for while it is visited.

    Attributes:
        main: The last answer to the page's own address, or to where it led.
        asked: The last address that it went to by itself.
        dynamic: Whether scripts fetched something.
        crashed: Whether the page crashed.
        downloads: Whether a download was started.
    """

    main: Response | None = None
    asked: str = ""
    dynamic: bool = False
    crashed: bool = False
    downloads: bool = False
    _listeners: list[tuple[str, Any]] = field(default_factory=list)

    def listen(self, page: Page) -> None:
        """Begin to listen."""
        frame = page.main_frame

        def on_request(request: Request) -> None:
            if request.resource_type in _FETCHED_BY_SCRIPT:
                self.dynamic = True
            elif request.is_navigation_request() and request.frame == frame:
                self.asked = request.url

        def on_response(response: Response) -> None:
            request = response.request
            if request.is_navigation_request() and request.frame == frame:
                self.main = response

        def on_crash(_: object) -> None:
            self.crashed = True

        def on_download(_: object) -> None:
            self.downloads = True

        def on_socket(_: object) -> None:
            self.dynamic = True

        self._listeners = [
            ("request", on_request), ("response", on_response), ("crash", on_crash), ("download", on_download),
            ("websocket", on_socket),
        ]  # fmt: skip
        for name, listener in self._listeners:
            page.on(name, listener)  # type: ignore[call-overload]

    def end(self, page: Page) -> None:
        """Listen no longer."""
        for name, listener in self._listeners:
            page.remove_listener(name, listener)


async def visit(page: Page, url: str, traffic: Traffic, settings: VisitSettings) -> FetchedPage:
    """Go to an address and return what stands there.

    Args:
        page: A page that nobody else uses.
        url: The address, in its normal form.
        traffic: Listens to the page already.
        settings: How.

    Raises:
        PageError: If it cannot be had.
        playwright.async_api.Error: What else the browser says, for ``failure`` to explain.
    """
    from playwright.async_api import Error

    try:
        await page.goto(url, timeout=settings.timeout * 1000, wait_until=settings.wait_until)
    except Error as error:
        if traffic.crashed or not _goes_on(error, traffic):
            raise
        if not traffic.downloads:  # a script led elsewhere while the page was still loading
            await page.wait_for_load_state(
                "load" if settings.wait_until == "commit" else settings.wait_until, timeout=settings.timeout * 1000
            )
    answer = traffic.main
    if answer is None:
        message = f"{url} gave no answer that a browser understands"
        raise PageError(message, url=url)
    headers = {name.lower(): value for name, value in answer.headers.items()}
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    fetched = FetchedPage(url, answer.url, answer.status, kind, "", "", (), headers, traffic.dynamic)
    if (length := headers.get("content-length", "")).isdecimal() and int(length) > settings.max_bytes:
        raise _too_large(url, int(length), settings.max_bytes)
    if traffic.downloads or not fetched.is_html:
        return fetched
    found = await _read(page, settings)
    if "html" not in found:
        raise _too_large(url, int(found["length"]), settings.max_bytes)
    source_hash = await _source_hash(answer) if settings.hashed else ""
    return FetchedPage(
        url, page.url if page.url.startswith("http") else answer.url, answer.status, kind,
        f"<!DOCTYPE html>\n{found['html']}\n", found["title"], tuple(pages_among(found["links"])), headers,
        traffic.dynamic, source_hash,
    )  # fmt: skip


def failure(url: str, error: Error, traffic: Traffic, gate: Gate, settings: VisitSettings) -> PageError:
    """Return what a browser's error means."""
    from playwright.async_api import TimeoutError as PlaywrightTimeoutError

    asked = traffic.asked or url
    by_way_of = "" if asked == url else f" (it leads to {asked})"
    if isinstance(error, PlaywrightTimeoutError):
        message = f"{url} was not there within {settings.timeout:g} s{by_way_of}"
        return PageTimeoutError(message, url=url, hint="give it longer with timeout=")
    text = str(error).partition("\n")[0].removeprefix("Page.goto: ")
    trouble = gate.trouble(host_of(asked))
    if "ERR_SOCKS" in text and trouble is not None:
        message = f"{url} cannot be had{by_way_of}: {trouble.reason}"
        if trouble.refused:
            hint = f'if it is yours and meant: private=["{host_of(asked)}"]'
            return AddressRefusedError(message, url=url, hint=hint)
        return PageError(message, url=url)
    return PageError(f"{url} cannot be had{by_way_of}: {text.partition(' at ')[0]}", url=url)


async def _read(page: Page, settings: VisitSettings) -> dict[str, Any]:
    from playwright.async_api import Error

    asked = [settings.max_bytes, _MOST_LINKS]
    try:
        found: dict[str, Any] = await page.evaluate(_READ, asked)
    except Error as error:
        if "context was destroyed" not in str(error):
            raise
        # It went on to another page at just this moment.
        await page.wait_for_load_state("load", timeout=settings.timeout * 1000)
        found = await page.evaluate(_READ, asked)
    return found


async def _source_hash(answer: Response) -> str:
    from playwright.async_api import Error

    try:
        return hashlib.sha256(await answer.body()).hexdigest()
    except Error as error:
        if "closed" in str(error):
            raise
        return ""  # the browser has not kept it


def _goes_on(error: Error, traffic: Traffic) -> bool:
    text = str(error)
    if "Download is starting" in text:
        traffic.downloads = True
        return True
    return "is interrupted by another navigation" in text and "chrome-error:" not in text


def _too_large(url: str, size: int, most: int) -> PageTooLargeError:
    message = f"{url} has {size:,} bytes, more than max_bytes ({most:,})"
    return PageTooLargeError(message, url=url, hint="raise max_bytes=, or leave it out")

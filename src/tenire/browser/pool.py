"""The face: pages from a pool of contexts that outlives its browsers."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenire.browser.addresses import Addresses
from tenire.browser.chromium import find_chromium
from tenire.browser.contexts import Contexts
from tenire.browser.cookies import cookies_for
from tenire.browser.engine import EngineSettings, require_packages
from tenire.browser.gate import Gate
from tenire.browser.looking import Looking
from tenire.browser.manners import Manners
from tenire.browser.robots import Robots
from tenire.browser.saving import downloaded, pictured
from tenire.browser.sessions import SessionFiles, session_name
from tenire.browser.statistics import BrowserStatistics
from tenire.browser.trackers import is_tracker
from tenire.browser.trying import Trying
from tenire.browser.urls import normal
from tenire.browser.visit import VisitSettings, visit
from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.blocking import run_blocking
from tenire.concurrency.unbroken import unbroken
from tenire.core.tasks import Resources
from tenire.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from playwright.async_api import Page

    from tenire.browser.contexts import Leased
    from tenire.browser.looking import Answer
    from tenire.browser.page import FetchedPage
    from tenire.browser.visit import Traffic
    from tenire.clock import Clock
    from tenire.concurrency.manager import ConcurrencyManager

__all__ = ["BrowserPool"]

_WAITS = ("load", "domcontentloaded", "networkidle", "commit")


class BrowserPool:
    """Fetches web pages through one browser; an async context manager.

    Args:
        pages: Most pages at the same time.
        uses: Pages after which a context is replaced.
        lifetime: Seconds after which it is.
        wear: Pages after which the browser and its driver are: both grow.
        delay: Seconds between two pages of the same host.
        at_once: Most pages of the same host at the same time.
        robots: Whether ``robots.txt`` is kept to.
        private: What of private networks may be reached: hosts, addresses and networks, as
            ``["127.0.0.1", "10.1.0.0/16"]``; ``True`` for all.
        trackers: Whether hosts that only count visitors are reached, too.
        images: Whether pages load their pictures.
        timeout: Seconds for one page.
        max_bytes: Largest page, or download.
        user_agent: By what name hosts are asked; ``None`` for the browser's own.
        home: Directory in which named sessions are kept; ``None``: in memory.
        executable: The browser; ``None`` for the first that is found.
        manager: The engine that each page asks for memory and processor; ``None``: nobody is asked.
        pipeline: Whose share pages are charged to.
        cpu: Slots that a page takes.
        page_memory: Bytes that it takes.
        clock: For delays and ages.

    Raises:
        ConfigError: If an argument is impossible.
    """

    def __init__(
        self,
        *,
        pages: int = 4,
        uses: int = 50,
        lifetime: float = 600.0,
        wear: int = 2000,
        delay: float = 1.0,
        at_once: int = 2,
        robots: bool = True,
        private: Sequence[str] | bool = (),
        trackers: bool = False,
        images: bool = True,
        timeout: float = 30.0,
        max_bytes: int = 16 << 20,
        user_agent: str | None = None,
        home: str | os.PathLike[str] | None = None,
        executable: str | os.PathLike[str] | None = None,
        manager: ConcurrencyManager | None = None,
        pipeline: str = "default",
        cpu: float = 0.5,
        page_memory: int = 32 << 20,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        for name, count in (("pages", pages), ("uses", uses), ("wear", wear), ("at_once", at_once)):
            if not isinstance(count, int) or isinstance(count, bool) or count < 1:
                raise ConfigError(f"{name} must be a positive whole number, got {count!r}", key=name)
        for name, seconds in (("lifetime", lifetime), ("timeout", timeout), ("max_bytes", max_bytes)):
            if not seconds > 0:
                raise ConfigError(f"{name} must be above 0, got {seconds!r}", key=name)
        if not delay >= 0:
            raise ConfigError(f"delay must be a number of seconds, 0 or more, got {delay!r}", key="delay")
        self._limits = {"size": pages, "uses": uses, "lifetime": lifetime, "wear": wear}
        self._manners_settings = {"delay": delay, "at_once": at_once}
        self._robots = robots
        self._addresses = Addresses(private)
        self._blocked: Callable[[str], bool] = _nothing if trackers else is_tracker
        self._images = images
        self._visiting = VisitSettings(timeout, max_bytes)
        self._user_agent = user_agent
        self._home = home
        self._executable = executable
        self._manager = manager
        self._pipeline = pipeline
        self._needs = Resources(cpu=cpu, memory=page_memory)
        self._clock = clock
        self._open: AsyncExitStack | None = None

    async def __aenter__(self) -> BrowserPool:
        """Open the pool; the browser starts with the first page.

        Raises:
            MissingExtraError: If Playwright or a Chromium is not installed.
        """
        if self._open is not None:
            message = "the pool is open already"
            raise ConfigError(message, key="BrowserPool")
        await run_blocking(require_packages)
        executable = await run_blocking(find_chromium, self._executable)
        self._files = SessionFiles(await run_blocking(_folder, self._home))
        async with AsyncExitStack() as stack:
            self._gate = await stack.enter_async_context(Gate(self._addresses, blocked=self._blocked))
            looking = Looking(self._addresses, user_agent=self._user_agent, timeout=self._visiting.timeout)
            self._looking = await stack.enter_async_context(looking)
            robots = Robots(looking, self._clock) if self._robots else None
            self._manners = Manners(**self._manners_settings, robots=robots, clock=self._clock)  # type: ignore[arg-type]
            settings = EngineSettings(executable, self._gate.port, self._images)
            options: dict[str, Any] = {"service_workers": "block", "accept_downloads": True}
            if self._user_agent is not None:
                options["user_agent"] = self._user_agent
            self._contexts = Contexts(settings, options, **self._limits, sessions=self._files, clock=self._clock)  # type: ignore[arg-type]
            stack.push_async_callback(self._contexts.close)
            self._trying = Trying(self._contexts, self._manners, self._gate, permit=self._permit)
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the browser, and wait until nothing of it is left; closing twice is fine."""
        opened, self._open = self._open, None
        if opened is not None:
            await unbroken(opened.aclose())

    async def fetch(
        self,
        url: str,
        *,
        session: str | None = None,
        timeout: float | None = None,
        wait_until: str = "load",
        hashed: bool = False,
    ) -> FetchedPage:
        """Render a page.

        A page whose browser goes away under it is fetched again from the next one.

        Args:
            url: Its address.
            session: Whose cookies it is fetched with, and leaves its own in; ``None`` for nobody's.
            timeout: Seconds; ``None`` for the pool's.
            wait_until: When it counts as there: ``load``, ``domcontentloaded``, ``networkidle`` or
                ``commit``.
            hashed: Whether to tell the hash of what the server sent, too.

        Raises:
            PageError: If it cannot be had. A status of HTTP is no error: see ``status``.
        """
        if wait_until not in _WAITS:
            raise ConfigError(f"wait_until must be one of {', '.join(_WAITS)}, got {wait_until!r}", key="wait_until")
        settings = self._settings(timeout, wait_until, hashed=hashed)
        address = normal(url)

        async def work(leased: Leased, traffic: Traffic) -> FetchedPage:
            return replace(await visit(leased.page, address, traffic, settings), generation=leased.generation)

        fetched = await self._trying.use(address, session, work, settings)
        self._manners.note(address, fetched.status, fetched.headers.get("retry-after", ""))
        return fetched

    async def screenshot(
        self,
        url: str,
        path: str | os.PathLike[str] | None = None,
        *,
        session: str | None = None,
        full_page: bool = False,
        timeout: float | None = None,
    ) -> bytes:
        """Take a picture of a page, as PNG.

        Args:
            url: Its address.
            path: Where to write the picture, too.
            session: As for ``fetch``.
            full_page: Whether of all of it, and not only of what a window shows.
            timeout: As for ``fetch``.

        Raises:
            PageError: If it cannot be had.
        """
        settings = self._settings(timeout)
        address = normal(url)

        async def work(leased: Leased, traffic: Traffic) -> bytes:
            return await pictured(leased.page, address, traffic, settings, full_page=full_page)

        picture = await self._trying.use(address, session, work, settings)
        if path is not None:
            await run_blocking(Path(path).write_bytes, picture)
        return picture

    async def download(
        self,
        url: str,
        path: str | os.PathLike[str],
        *,
        session: str | None = None,
        timeout: float | None = None,
    ) -> Path:
        """Get a file, whole or not at all.

        Args:
            url: Its address.
            path: Where it goes; an existing file is replaced.
            session: As for ``fetch``.
            timeout: As for ``fetch``.

        Raises:
            PageError: If it cannot be had.
            PageTooLargeError: If it is larger than ``max_bytes``.
        """
        settings = self._settings(timeout)
        address, target = normal(url), Path(path)

        async def work(leased: Leased, traffic: Traffic) -> Path:
            return await downloaded(leased.page, address, traffic, settings, target)

        return await self._trying.use(address, session, work, settings)

    async def look(self, url: str, headers: Mapping[str, str] | None = None, *, session: str | None = None) -> Answer:
        """Ask for an address without a browser: it costs a hundredth, and runs no script.

        Args:
            url: The address.
            headers: To send besides.
            session: Whose cookies are sent, each only to the hosts that it is for; it stays as it is.

        Raises:
            PageError: If it cannot be had.
        """
        address = normal(url)
        self._require_open()
        name = None if session is None else session_name(session)
        async with self._manners.turn(address):
            cookies = None
            if name is not None:  # as they are now: other pages may have changed them during the wait
                state = await run_blocking(self._files.load, name)
                cookies = partial(self._cookies, state or {})
            answer = await self._looking.get(
                address, max_bytes=self._visiting.max_bytes, headers=headers, cookies=cookies
            )
            await self._manners.require(address, answer.url)
        self._manners.note(address, answer.status, answer.headers.get("retry-after", ""))
        return answer

    @asynccontextmanager
    async def page(self, url: str | None = None, *, session: str | None = None) -> AsyncIterator[Page]:
        """Lend a page of Playwright, to click, fill in and look around; for logins above all.

        It reaches what the pool may reach, and is given back with the block. If its browser goes
        away, the block sees Playwright's own error: nobody else knows what it had done.

        Args:
            url: Where it is to be at first.
            session: Whose cookies it has. They are kept when the block ends without an error.

        Raises:
            PageError: If it cannot be had.
        """
        settings = self._settings(None)
        async with self._trying.lend(None if url is None else normal(url), session, settings) as page:
            yield page

    async def forget(self, session: str) -> None:
        """Forget the cookies of a session; pages of it that are under way keep theirs."""
        self._require_open()
        await run_blocking(self._files.forget, session_name(session))

    def statistics(self) -> BrowserStatistics:
        """Return what was done so far."""
        self._require_open()
        contexts, gate, trying = self._contexts, self._gate, self._trying
        return BrowserStatistics(
            pages=trying.pages, failed=trying.failed, contexts=contexts.made, leased=contexts.leased,
            idle=contexts.idle, generation=contexts.generation, lost=contexts.lost, crashed=trying.crashed,
            refused=gate.refused, blocked=gate.blocked,
        )  # fmt: skip

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the browser and of its driver; empty before the first page."""
        self._require_open()
        return self._contexts.pids

    # -- inside -------------------------------------------------------------

    def _cookies(self, state: Mapping[str, Any], url: str) -> str:
        return cookies_for(state, url, self._clock.wall())

    def _permit(self) -> AbstractAsyncContextManager[Any]:
        if self._manager is None:
            return nullcontext()
        return self._manager.orchestrator.permit(self._needs, pipeline=self._pipeline, name="browser page")

    def _settings(self, timeout: float | None, wait_until: str = "load", *, hashed: bool = False) -> VisitSettings:
        self._require_open()
        seconds = self._visiting.timeout if timeout is None else timeout
        if not seconds > 0:
            raise ConfigError(f"timeout must be a number of seconds above 0, got {timeout!r}", key="timeout")
        return VisitSettings(seconds, self._visiting.max_bytes, wait_until, hashed)

    def _require_open(self) -> None:
        if self._open is None:
            message = "the pool is not open"
            raise ConfigError(message, key="BrowserPool", hint="async with tenire.browser.BrowserPool(…) as pool: …")


def _folder(home: str | os.PathLike[str] | None) -> Path | None:
    return None if home is None else Path(os.path.abspath(home)) / "sessions"


def _nothing(_: str) -> bool:
    return False

"""One generation: a driver, and the browser that it started.

What was found out about their deaths: a browser that is killed says so. A driver that is killed
does not: the browser still counts as connected, and only calls fail. So nobody's word is taken
for whether a generation lives: it lives if it can make a context.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import uuid
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil

from tenire.browser.chromium import arguments, is_root
from tenire.concurrency.blocking import run_blocking
from tenire.concurrency.unbroken import unbroken
from tenire.errors import ComponentError, MissingExtraError

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Playwright

__all__ = ["Engine", "EngineSettings", "require_packages"]

_START_S = 60.0
_ALIVE_S = 10.0
_CLOSE_S = 10.0
_KILL_S = 5.0

_log = logging.getLogger("tenire.browser")


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How browsers are started.

    Attributes:
        executable: Path of the browser.
        proxy_port: The port of the only way out.
        images: Whether pages load their pictures.
    """

    executable: str
    proxy_port: int
    images: bool


class Engine:
    """A driver with its browser; make one with ``start``."""

    def __init__(self, driver: _Driver, browser: Browser, processes: list[psutil.Process]) -> None:
        self._driver = driver
        self._browser = browser
        self._processes = processes

    @classmethod
    async def start(cls, settings: EngineSettings) -> Engine:
        """Start a driver and a browser.

        Raises:
            MissingExtraError: If Playwright is not installed.
            ComponentError: If either does not start.
        """
        from playwright.async_api import Error

        mark = uuid.uuid4().hex
        driver = _Driver()
        try:
            async with asyncio.timeout(_START_S):
                playwright = await driver.start()
                browser = await _launched(playwright, settings, mark)
            processes = await run_blocking(_processes, mark)
        except BaseException as error:
            await unbroken(_end(driver, mark))
            if isinstance(error, TimeoutError):
                message = f"the browser {settings.executable} did not start within {_START_S:g} s"
                raise ComponentError(message, component="browser") from error
            if isinstance(error, Error):
                message = f"the browser {settings.executable} does not start: {_first_lines(error)}"
                hint = "see what it says when it is started by hand with --version"
                raise ComponentError(message, component="browser", hint=hint) from error
            raise
        return cls(driver, browser, processes)

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the driver and of the browser."""
        return tuple(process.pid for process in self._processes)

    async def context(self, options: dict[str, Any]) -> BrowserContext:
        """Make a context."""
        return await self._browser.new_context(**options)

    async def is_alive(self) -> bool:
        """Return whether driver and browser still do what they are told."""
        from playwright.async_api import Error

        if not self._browser.is_connected():
            return False
        try:
            async with asyncio.timeout(_ALIVE_S):
                context = await self._browser.new_context()
                await context.close()
        except (Error, TimeoutError):
            return False
        return True

    async def close(self) -> None:
        """End both; what does not end by itself is killed."""
        from playwright.async_api import Error

        with contextlib.suppress(Error, TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                await self._browser.close()
        await self._driver.stop()
        await run_blocking(_kill, self._processes)


async def _launched(playwright: Playwright, settings: EngineSettings, mark: str) -> Browser:
    """Start a browser in its sandbox, which Playwright leaves out unless it is asked for; else without."""
    from playwright.async_api import Error

    launch = partial(
        playwright.chromium.launch,
        executable_path=settings.executable,
        args=arguments(images=settings.images, mark=mark),
        # The engine handles these for the whole process.
        handle_sigint=False, handle_sigterm=False, handle_sighup=False,
        # Browsers go to this machine's own addresses directly, and Playwright says otherwise only
        # unless a variable of the environment forbids it.
        proxy={"server": f"socks5://127.0.0.1:{settings.proxy_port}", "bypass": "<-loopback>"},
    )  # fmt: skip
    if is_root():
        return await launch(chromium_sandbox=False)
    with contextlib.suppress(Error):  # containers, and some systems, allow none; any other reason comes again
        return await launch(chromium_sandbox=True)
    browser = await launch(chromium_sandbox=False)
    _log.warning("this system does not let the browser have its sandbox: pages run without it")
    return browser


class _Driver:
    """Playwright's own process."""

    def __init__(self) -> None:
        from playwright.async_api import async_playwright

        self._manager = async_playwright()
        self._starting: asyncio.Task[Playwright] | None = None

    async def start(self) -> Playwright:
        # Shielded: of a driver that is cancelled while it starts, Playwright loses the process.
        self._starting = asyncio.get_running_loop().create_task(self._manager.start(), name="tenire browser: driver")
        return await asyncio.shield(self._starting)

    async def stop(self) -> None:
        from playwright.async_api import Error

        starting = self._starting
        if starting is not None:
            await asyncio.wait([starting], timeout=_START_S)
            if not starting.done():
                starting.cancel()
            elif not starting.cancelled() and starting.exception() is None:
                with contextlib.suppress(Error, TimeoutError):
                    async with asyncio.timeout(_CLOSE_S):
                        await starting.result().stop()
        # Of a driver that died, Playwright leaves a future with an exception that nobody looks at,
        # and asyncio would complain of it in the user's log.
        transport = getattr(getattr(self._manager, "_client", None), "_transport", None)
        lost = getattr(transport, "on_error_future", None)
        if isinstance(lost, asyncio.Future) and lost.done() and not lost.cancelled():
            lost.exception()


def require_packages() -> None:
    """Check that what the extra brings is installed, and load it: that takes a moment, and reads files.

    Raises:
        MissingExtraError: If it is not.
    """
    for package in ("playwright.async_api", "aiohttp"):
        try:
            importlib.import_module(package)
        except ImportError as error:
            missing = package.partition(".")[0]
            raise MissingExtraError("rendering web pages", extra="browser", missing=missing) from error


async def _end(driver: _Driver, mark: str) -> None:
    processes = await run_blocking(_processes, mark)
    await driver.stop()
    await run_blocking(_kill, processes)


def _processes(mark: str) -> list[psutil.Process]:
    """Return the driver and the browser that carries a mark; neither if it is not there (any more)."""
    me = psutil.Process()
    for process in me.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            line = process.cmdline()
            if not any(word.endswith(f"--tenire-pool={mark}") for word in line):
                continue
            if any(word.startswith("--type=") for word in line):
                continue  # a renderer that was told what its browser was told
            driver = process.parent()
            return [process] if driver is None or driver.pid == me.pid else [driver, process]
    return []


def _kill(processes: list[psutil.Process]) -> None:
    """Kill what still runs of these, with all that it started, and wait until it is gone."""
    doomed: list[psutil.Process] = []
    for process in processes:
        # Of a process id that another process has by now, psutil says that it does not run.
        with contextlib.suppress(psutil.Error):
            if process.is_running():
                doomed += [process, *process.children(recursive=True)]
    for process in doomed:
        with contextlib.suppress(psutil.Error):
            process.kill()
    # The loop's own watcher takes the driver's exit status; until then it shows as a zombie.
    psutil.wait_procs([process for process in doomed if not _is_zombie(process)], timeout=_KILL_S)


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return True


def _first_lines(error: Exception) -> str:
    return " ".join(str(error).split("\n", 3)[:3])[:300]

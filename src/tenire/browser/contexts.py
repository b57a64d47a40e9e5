"""Contexts of living browsers: the shell around ``core.context_pool``.

1. Whoever finds a generation dead says so; the next one is started by the first who needs it.
2. What has to be closed is closed aside: nobody waits for it, and the end waits for all of it.
3. A session is used by one page at a time: its cookies are those of the page before.
"""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tenire.browser.engine import Engine
from tenire.concurrency.blocking import run_blocking
from tenire.core.context_pool import ContextPool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from playwright.async_api import BrowserContext, Page

    from tenire.browser.engine import EngineSettings
    from tenire.browser.sessions import SessionFiles
    from tenire.clock import Clock
    from tenire.core.context_pool import Lease

__all__ = ["Contexts", "GenerationLostError", "Leased"]

_CLOSE_S = 10.0


class GenerationLostError(Exception):
    """The browser or its driver went away while a page was under way, or before it could begin."""


@dataclass(slots=True)
class Leased:
    """A context to work with.

    Attributes:
        page: Its page.
        generation: Number of its browser.
        in_order: Whether the context may be used again; set it to false when in doubt.
    """

    page: Page
    generation: int
    in_order: bool = True


class Contexts:
    """Lends contexts with a page each.

    Args:
        settings: How a browser is started.
        options: How contexts are made, as Playwright takes it.
        size: Most contexts.
        uses: Most pages of one context.
        lifetime: Seconds after which a context is not used any more.
        wear: Most pages of one browser.
        sessions: Where cookies of named sessions are kept.
        clock: For the ages.

    Attributes:
        made: Contexts that were made.
        lost: Generations that went away by themselves.
    """

    def __init__(
        self,
        settings: EngineSettings,
        options: dict[str, Any],
        *,
        size: int,
        uses: int,
        lifetime: float,
        wear: int,
        sessions: SessionFiles,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._options = options
        self._core = ContextPool(size=size, uses=uses, lifetime=lifetime, wear=wear)
        self._places = asyncio.Semaphore(size)
        self._files = sessions
        self._clock = clock
        self._made: dict[int, tuple[BrowserContext, Page]] = {}
        self._engines: dict[int, Engine] = {}
        self._starting = asyncio.Lock()
        self._one_at_a_time: dict[str, asyncio.Lock] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self.made = 0
        self.lost = 0

    @property
    def leased(self) -> int:
        """Contexts in use."""
        return self._core.leased

    @property
    def idle(self) -> int:
        """Contexts that wait for use."""
        return self._core.idle

    @property
    def generation(self) -> int:
        """Number of the browser that new pages go to; 0 before the first."""
        return self._core.generation if self.made else 0

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the drivers and browsers that run."""
        return tuple(pid for engine in self._engines.values() for pid in engine.pids)

    @asynccontextmanager
    async def lease(self, session: str) -> AsyncIterator[Leased]:
        """Lend a context, making it if there is none.

        Args:
            session: Whose cookies it holds; an empty text for nobody's.

        Raises:
            GenerationLostError: If the browser went away before it could be made.
            ComponentError: If no browser can be started.
        """
        async with self._alone(session), self._places:
            lease = self._core.lease(session, self._clock.now())
            assert lease is not None  # as many places as contexts
            for number in lease.close:
                self._discard(number)
            leased: Leased | None = None
            try:
                leased = await self._ready(lease)
                yield leased
                if session:
                    await self._keep(session, leased)
            except BaseException:
                if leased is not None:
                    leased.in_order = False
                raise
            finally:
                fit = leased is not None and leased.in_order
                if not self._core.give_back(lease, self._clock.now(), reusable=fit):
                    self._discard(lease.context)
                self._end_those_that_are_over()

    async def is_alive(self, generation: int) -> bool:
        """Return whether a generation still does what it is told."""
        engine = self._engines.get(generation)
        return engine is not None and await engine.is_alive()

    def note_lost(self, generation: int) -> None:
        """Say that a generation is dead (rule 1)."""
        if generation == self._core.generation:
            self.lost += 1
        for number in self._core.lost(generation):
            self._made.pop(number, None)  # it is gone with its browser
        if (engine := self._engines.pop(generation, None)) is not None:
            self._aside(engine.close())

    async def close(self) -> None:
        """End all browsers, and wait until they are gone."""
        self._made.clear()
        for generation in list(self._engines):
            self._aside(self._engines.pop(generation).close())
        while self._closing:
            await asyncio.wait(self._closing)

    # -- making ------------------------------------------------------------

    async def _ready(self, lease: Lease) -> Leased:
        if not lease.fresh:
            _, page = self._made[lease.context]
            return Leased(page, lease.generation)
        engine = await self._engine(lease.generation)
        state = await run_blocking(self._files.load, lease.session) if lease.session else None
        options = self._options if state is None else {**self._options, "storage_state": state}
        context, page = await self._guarded(engine, lease.generation, options)
        self._made[lease.context] = (context, page)
        self.made += 1
        return Leased(page, lease.generation)

    async def _guarded(self, engine: Engine, generation: int, options: dict[str, Any]) -> tuple[BrowserContext, Page]:
        from playwright.async_api import Error

        context: BrowserContext | None = None
        try:
            async with asyncio.timeout(_CLOSE_S):
                context = await engine.context(options)
                return context, await context.new_page()
        except (Error, TimeoutError) as error:
            # A living browser makes contexts.
            self.note_lost(generation)
            raise GenerationLostError(str(error)) from error
        except BaseException:
            if context is not None:
                self._aside(_closed(context))
            raise

    async def _engine(self, generation: int) -> Engine:
        async with self._starting:
            if (engine := self._engines.get(generation)) is not None:
                return engine
            if generation != self._core.generation:
                message = f"generation {generation} is over"
                raise GenerationLostError(message)
            engine = await Engine.start(self._settings)
            if generation != self._core.generation:  # lost while it was started: by whom the end was seen
                self._aside(engine.close())
                message = f"generation {generation} is over"
                raise GenerationLostError(message)
            self._engines[generation] = engine
            return engine

    async def _keep(self, session: str, leased: Leased) -> None:
        """Keep the cookies of a session, so that its next page has them in whichever context."""
        from playwright.async_api import Error

        try:
            state = await leased.page.context.storage_state()
        except Error as error:
            leased.in_order = False
            raise GenerationLostError(str(error)) from error
        await run_blocking(self._files.save, session, dict(state))

    @asynccontextmanager
    async def _alone(self, session: str) -> AsyncIterator[None]:
        if not session:
            yield
            return
        async with self._one_at_a_time.setdefault(session, asyncio.Lock()):  # rule 3
            yield

    # -- closing -----------------------------------------------------------

    def _end_those_that_are_over(self) -> None:
        for generation in [each for each in self._engines if self._core.is_over(each)]:
            self._aside(self._engines.pop(generation).close())

    def _discard(self, number: int) -> None:
        made = self._made.pop(number, None)
        if made is not None:
            self._aside(_closed(made[0]))

    def _aside(self, closing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(closing)
        self._closing.add(task)
        forget: Callable[[asyncio.Task[None]], object] = self._closing.discard
        task.add_done_callback(forget)


async def _closed(context: BrowserContext) -> None:
    from playwright.async_api import Error

    with contextlib.suppress(Error, TimeoutError):  # gone already, with its browser
        async with asyncio.timeout(_CLOSE_S):
            await context.close()

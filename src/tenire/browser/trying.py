"""One page, tried as often as it takes: what ended a try decides whether there is another."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from tenire.browser.contexts import GenerationLostError
from tenire.browser.errors import BrowserLostError, PageError, PageTimeoutError
from tenire.browser.sessions import session_name
from tenire.browser.visit import Traffic, failure
from tenire.core.page_tries import PageTries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from playwright.async_api import Page

    from tenire.browser.contexts import Contexts, Leased
    from tenire.browser.gate import Gate
    from tenire.browser.manners import Manners
    from tenire.browser.visit import VisitSettings

__all__ = ["Trying"]

T = TypeVar("T")

_GRACE_S = 5.0
"""The driver keeps the time of a page. If it has not said so by then, it does not live any more."""


class _CrashedError(Exception):
    """A page crashed."""


class Trying:
    """The shell around ``core.page_tries``.

    Args:
        contexts: Lends what a page needs.
        manners: Says when a host may be asked.
        gate: Knows why a host could not be reached.
        permit: Returns what a page holds while it is there.

    Attributes:
        pages: Pages that came to their end.
        failed: Pages that did not.
        crashed: How often one crashed.
    """

    def __init__(
        self,
        contexts: Contexts,
        manners: Manners,
        gate: Gate,
        *,
        permit: Callable[[], AbstractAsyncContextManager[Any]],
    ) -> None:
        self._contexts = contexts
        self._manners = manners
        self._gate = gate
        self._permit = permit
        self.pages = self.failed = self.crashed = 0

    async def use(
        self,
        url: str,
        session: str | None,
        work: Callable[[Leased, Traffic], Awaitable[T]],
        settings: VisitSettings,
    ) -> T:
        """Have a page worked on, from the next browser if that goes away meanwhile.

        Args:
            url: Its address.
            session: Whose cookies it is to have, or ``None``.
            work: Does what is wanted with a page.
            settings: How long it may take.

        Raises:
            PageError: If it cannot be had.
        """
        name = "" if session is None else session_name(session)
        tries = PageTries()
        try:
            async with self._manners.turn(url), self._permit():
                while True:
                    try:
                        result, led_to = await self._once(url, name, work, settings)
                    except GenerationLostError as error:
                        if not tries.again_after_loss():
                            message = f"{url} cannot be had: the browser ended {tries.lost} times while it was fetched"
                            hint = "it may need more memory than there is, or the page may be what ends it"
                            raise BrowserLostError(message, url=url, hint=hint) from error
                    except _CrashedError as error:
                        self.crashed += 1
                        if not tries.again_after_crash():
                            message = f"{url} cannot be had: it crashed {tries.crashed} times"
                            raise PageError(message, url=url) from error
                    else:
                        await self._manners.require(url, led_to)
                        self.pages += 1
                        return result
        except PageError:
            self.failed += 1
            raise

    @asynccontextmanager
    async def lend(self, url: str | None, session: str | None, settings: VisitSettings) -> AsyncIterator[Page]:
        """Lend a page for whatever is to be done with it.

        Until it is lent, a browser that goes away is replaced; what becomes of it afterwards is the borrower's.

        Args:
            url: Where it is to be at first, or ``None``.
            session: Whose cookies it is to have, or ``None``.
            settings: How long it may take to get there.

        Raises:
            PageError: If it cannot be had.
        """
        name = "" if session is None else session_name(session)
        turn = nullcontext() if url is None else self._manners.turn(url)
        async with turn, self._permit(), AsyncExitStack() as lending:
            tries = PageTries()
            while True:
                try:
                    page = await self._opened(lending, url, name, settings)
                except GenerationLostError as error:
                    if not tries.again_after_loss():
                        message = f"no page can be had: the browser ended {tries.lost} times while it was opened"
                        raise BrowserLostError(message, url=url or "") from error
                else:
                    break
            yield page

    async def _opened(self, lending: AsyncExitStack, url: str | None, session: str, settings: VisitSettings) -> Page:
        from playwright.async_api import Error

        async with AsyncExitStack() as opening:
            leased = await opening.enter_async_context(self._contexts.lease(session))
            # What will be done to it is not known: the next page gets another context.
            leased.in_order = False
            if url is not None:
                traffic = Traffic()
                traffic.listen(leased.page)
                try:
                    await leased.page.goto(url, timeout=settings.timeout * 1000)
                except Error as error:
                    await self._require_alive(leased.generation, error, closed=leased.page.is_closed())
                    raise failure(url, error, traffic, self._gate, settings) from error
                finally:
                    traffic.end(leased.page)
            lending.push_async_exit(opening.pop_all())
            return leased.page

    async def _once(
        self,
        url: str,
        session: str,
        work: Callable[[Leased, Traffic], Awaitable[T]],
        settings: VisitSettings,
    ) -> tuple[T, str]:
        from playwright.async_api import Error

        traffic = Traffic()
        async with self._contexts.lease(session) as leased:
            page, generation = leased.page, leased.generation
            traffic.listen(page)
            try:
                async with asyncio.timeout(settings.timeout + _GRACE_S):
                    return await work(leased, traffic), traffic.asked
            except Error as error:
                if "ERR_ABORTED" in str(error):
                    await _answers(page)
                if traffic.crashed:
                    raise _CrashedError from error
                await self._require_alive(generation, error, closed=page.is_closed())
                raise failure(url, error, traffic, self._gate, settings) from error
            except PageError:
                raise
            except TimeoutError as error:
                await self._require_alive(generation, error, closed=True)
                message = f"{url} was not there within {settings.timeout:g} s"
                raise PageTimeoutError(message, url=url, hint="give it longer with timeout=") from error
            finally:
                traffic.end(page)

    async def _require_alive(self, generation: int, error: Exception, *, closed: bool) -> None:
        """Find out whether an error was the page's, or the end of its browser.

        Raises:
            GenerationLostError: If it was the browser's end.
        """
        if not closed and "losed" not in str(error) and "crash" not in str(error).lower():
            return  # a browser that says what is wrong with a page lives
        if not await self._contexts.is_alive(generation):
            self._contexts.note_lost(generation)
            raise GenerationLostError(str(error)) from error


async def _answers(page: Page) -> None:
    """Wait until a page has said whatever it has to say: of a crash, the navigation hears before anybody else."""
    from playwright.async_api import Error

    with suppress(Error, TimeoutError):
        async with asyncio.timeout(_GRACE_S):
            await page.evaluate("0")

"""All that an open client works with, made in order and closed in reverse."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from tenire.concurrency import ConcurrencyManager
from tenire.concurrency.blocking import run_blocking
from tenire.concurrency.quotas import Quota
from tenire.errors import ConfigError, RejectedError
from tenire.llm.books import Books
from tenire.llm.embeddings import Embeddings
from tenire.llm.endpoint import Endpoint
from tenire.llm.first_call import FirstCallGate
from tenire.llm.money import to_usd
from tenire.llm.passage import Account
from tenire.llm.prices import price_of
from tenire.llm.quotas import check_group, counting, lease_quota
from tenire.llm.reply_store import ReplyStore
from tenire.llm.statistics import ChatStatistics
from tenire.llm.tokenisers import has_tiktoken, load_tokenisers
from tenire.llm.tokens import TokenCounter
from tenire.llm.totals import Totals
from tenire.observe.machine import read_machine
from tenire.resilience.options import retry_of
from tenire.resilience.tasks import end

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from tenire.llm.records import Transport
    from tenire.llm.reply_store import Asked
    from tenire.llm.settings import ClientSettings
    from tenire.llm.ways import Way

__all__ = ["Session", "statistics_of"]

_NUMBERS = itertools.count(1)
_MOST_IN_BACKGROUND = 256
_PATIENCE_S = 5.0  # for the next reply that nobody waits for, at the end


class Session:
    """What is open while a client is.

    Args:
        settings: Of the client.
        way: To the provider.
        models: The model, and those that are asked if it fails, in order.
        limits: Arguments of the ``Quota``, or one that there is.
        counts_output: As for ``llm.quotas.counting``.
        group: As for ``llm.quotas.lease_quota``.
        manager: The engine, or ``None`` for one of its own.
        books: Shared with other clients, or ``None`` for its own.
        own_books: Arguments of its own ``Books``.
    """

    def __init__(
        self,
        settings: ClientSettings,
        *,
        way: Way,
        models: tuple[str, ...],
        limits: Quota | Mapping[str, Any],
        counts_output: str | None,
        group: str | None,
        manager: ConcurrencyManager | None,
        books: Books | None,
        own_books: Mapping[str, Any],
    ) -> None:
        self.settings = settings
        self.service = way.service
        self.totals = Totals()
        self.knows_schemas = False
        self.closed = False
        self._opened = False
        self._models = models
        self._limits = limits
        counting(counts_output, None)  # a wrong one is refused before anything is open
        check_group(group)
        self._counts_output = counts_output
        self._group = group
        self._way = way
        self._given_manager = manager
        self._given_books = books
        self._own_books = own_books
        self._stack = AsyncExitStack()
        self._background: dict[Asked, asyncio.Task[Any]] = {}
        self.endpoints: tuple[Endpoint, ...] = ()
        self.manager: ConcurrencyManager
        self.transport: Transport
        self.wall: Callable[[], float]
        self.books: Books
        self.quota: Quota
        self.store: ReplyStore
        self.embeddings: Embeddings

    async def open(self) -> None:
        """Make everything, or nothing if that fails.

        Raises:
            RejectedError: If it is open.
        """
        if self._opened:
            raise RejectedError("the client is open already: leave its `async with` first, or make another client")
        self._opened = True
        try:
            await self._make()
        except BaseException:
            self._opened = False
            raise
        self.closed = False

    async def _make(self) -> None:
        async with self._stack as stack:
            manager = self._given_manager
            if manager is None:
                shared = self._way.memory or (await run_blocking(read_machine)).usable_memory
                manager = await stack.enter_async_context(ConcurrencyManager(cpu=1, memory=shared, adaptive=False))
            self.manager = manager
            self.wall = manager.orchestrator.wall
            books = self._given_books
            if books is None:
                books = await stack.enter_async_context(Books(manager, **self._own_books))
            self.books = books
            self.transport = await self._way.make(manager)
            stack.push_async_callback(self.transport.close)
            stack.push_async_callback(self._end_background)
            if isinstance(self._limits, Quota):
                self.quota = self._limits
            else:
                limits = dict(self._limits)
                if limits["max_concurrency"] is None:
                    limits["max_concurrency"] = self._way.slots
                output = counting(self._counts_output, getattr(self.transport, "dialect", None))
                lease = lease_quota(manager, self.service, self._way.who, limits, output, self._group)
                stack.push_async_callback(lease.aclose)
                self.quota = lease.quota
            memory = manager.data_manager.cache(f"replies {next(_NUMBERS)}", capacity=self.settings.memory_bytes)
            stack.callback(memory.close)
            self.store = ReplyStore(memory, self.books.log, self.wall)
            exact = await run_blocking(load_tokenisers, self._models) if has_tiktoken() else {}
            self.endpoints = self._make_endpoints(TokenCounter(exact))
            self.embeddings = Embeddings(self, self.transport)
            stack.push_async_callback(self.embeddings.aclose)
            self._stack = stack.pop_all()

    @property
    def fresh_since(self) -> float:
        """When a kept reply must have been made to be fresh, seconds since the epoch."""
        ttl = self.settings.ttl
        return 0.0 if ttl is None else self.wall() - ttl

    async def close(self, *, in_peace: bool) -> None:
        """Close everything that was made.

        Args:
            in_peace: Whether there is time for what was sent for those who come later, since it is paid for:
                while one reply after the other comes, and no longer than one try may take.
        """
        self.closed = True
        try:
            if in_peace:
                await end([task for asked, task in self._background.items() if not asked.under_way])
                await self._await_background()
            await self._stack.aclose()
        finally:
            self._opened = False

    def in_background(self, work: Callable[[], Coroutine[Any, Any, Any]], asked: Asked) -> None:
        """Make a request that nobody waits for, unless it is under way or many are; its errors are nobody's."""
        if asked in self._background or len(self._background) >= _MOST_IN_BACKGROUND:
            return
        task = asyncio.get_running_loop().create_task(work(), name="a new reply")
        self._background[asked] = task
        task.add_done_callback(partial(self._background_ended, asked))

    def _background_ended(self, asked: Asked, task: asyncio.Task[Any]) -> None:
        del self._background[asked]
        if not task.cancelled():
            task.exception()  # what there is goes on being given; the next who asks tries again

    async def _await_background(self) -> None:
        """Wait for what nobody waits for while it keeps coming: in an outage that is a moment."""
        now = asyncio.get_running_loop().time
        until, coming = now() + self.settings.timeout, True
        while coming and self._background and now() < until:
            some = tuple(self._background.values())
            patience = min(_PATIENCE_S, until - now())
            done, _ = await asyncio.wait(some, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            coming = any(not task.cancelled() and task.exception() is None for task in done)

    async def _end_background(self) -> None:
        await end(tuple(self._background.values()))

    def _make_endpoints(self, counter: TokenCounter) -> tuple[Endpoint, ...]:
        settings = self.settings
        endpoints = []
        for model in self._models:
            price = price_of(model, settings.price)
            if price is None and self.books.purse.limited:
                message = f"there is a budget, and what {model!r} costs is not known"
                raise ConfigError(message, key="price", hint="give price=tenire.llm.Price(…), or no budget")
            account = Account(
                model,
                quota=self.quota,
                purse=self.books.purse,
                price=price,
                counter=counter,
                totals=self.totals,
                timeout=settings.timeout,
                first_call=FirstCallGate(self.manager.timer, self.manager.orchestrator.now),
                ready=getattr(self.transport, "ready", None),
            )
            endpoints.append(
                Endpoint(
                    self.transport,
                    account,
                    self.store,
                    retry=retry_of(settings.retry),
                    timeout=settings.timeout,
                    hedge=settings.hedge,
                    wall=self.wall,
                )
            )
        return tuple(endpoints)


def statistics_of(session: Session) -> ChatStatistics:
    """Return what a client has done so far."""
    totals, guards = session.totals, [endpoint.statistics() for endpoint in session.endpoints]
    return ChatStatistics(
        calls=totals.calls,
        cached_calls=totals.cached_calls,
        retries=sum(guard.retries for some in guards for guard in some),
        waiting=sum(max(guard.waiting for guard in some) for some in guards),
        breaker=session.endpoints[0].breaker.state,
        input_tokens=totals.input_tokens,
        cached_tokens=totals.cached_tokens,
        output_tokens=totals.output_tokens,
        reasoning_tokens=totals.reasoning_tokens,
        cost_usd=to_usd(totals.cost),
        guessed_usd=to_usd(totals.guessed),
        quota=session.quota.statistics(),
    )

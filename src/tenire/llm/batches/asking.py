"""Many prompts: some go into batches, the others are asked at once.

::

    prompts ──► batch or now? ──► desk ─────────┬─► replies
                      │            │ what batches leave undone
                      └────────────┴─► map ─────┘
"""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenire.concurrency.blocking import run_blocking
from tenire.core.batch_choice import Mode, in_batch
from tenire.core.batch_looks import Looks
from tenire.errors import ConfigError, RejectedError, TenireError
from tenire.llm.batches.account import BatchAccount
from tenire.llm.batches.bench import Bench
from tenire.llm.batches.desk import BatchDesk
from tenire.llm.batches.spool import Spool
from tenire.llm.batches.stream import Stream, first_error
from tenire.llm.mapping import check_prompts, each_of, map_prompts
from tenire.llm.replies import Reply
from tenire.llm.requests import request_key
from tenire.llm.schemas import reply_schema

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Mapping

    from tenire.llm.batches.bench import BatchOutcome
    from tenire.llm.batches.provider import BatchProvider
    from tenire.llm.calls import Calls
    from tenire.llm.endpoint import Manner
    from tenire.llm.records import ChatRequest
    from tenire.llm.replies import Answer
    from tenire.llm.requests import Prompt
    from tenire.llm.schemas import ReplySchema
    from tenire.llm.session import Session

__all__ = ["Asking", "BatchLimits"]

_ROOM = 512  # prompts that are asked at once, and replies that wait to be looked at
_SPARE_S = 3600.0  # for what batches leave undone
_LEAST_LOOK_S, _MOST_LOOK_S, _LOOK_PART, _LOOK_SPACING_S = 1.0, 300.0, 0.1, 0.5


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How large a batch may be.

    Attributes:
        lines: Most requests.
        size: Most bytes of its file.

    Raises:
        ConfigError: If one is impossible.
    """

    lines: int
    size: int

    def __post_init__(self) -> None:
        for name, key in (("lines", "most_lines"), ("size", "most_bytes")):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"{key} must be a whole number from 1, got {value!r}", key=key)


class Asking:
    """Answers prompts; used once.

    Args:
        session: Of the client.
        calls: Answers prompts at once.
        mode: How they are to be answered.
        manner: How those are called that are asked at once.
        make: Makes a request of a prompt.
        schema: What replies must follow, or ``None``.
        limits: How large a batch may be.

    Raises:
        ConfigError: If there is no home, or no batch API.
    """

    def __init__(
        self,
        session: Session,
        calls: Calls,
        *,
        mode: Mode,
        manner: Manner,
        make: Callable[[Prompt], ChatRequest],
        schema: Mapping[str, Any] | None,
        limits: BatchLimits,
    ) -> None:
        self._session = session
        self._calls = calls
        self._mode = mode
        self._manner = manner
        self._make = make
        self._asked_schema = schema
        self._schema: ReplySchema | None = None
        self._now = asyncio.get_running_loop().time
        self._until = None if manner.deadline is None else self._now() + manner.deadline
        self._account = session.endpoints[0].account
        self._price = self._account.price
        self._batch_price = None if self._price is None else self._price.in_batch()
        self._provider: BatchProvider | None = None if mode is Mode.REALTIME else _provider(session)
        self._bench: Bench | None = None
        self._limits = limits
        self._pending: dict[bytes, list[int]] = {}
        self._at_once: asyncio.Queue[tuple[int, ChatRequest] | None] = asyncio.Queue(_ROOM)
        self._places: dict[int, int] = {}  # of those asked at once, among all
        self._replies: Stream[Reply] = Stream(_ROOM)

    def replies(self, prompts: Iterable[Prompt] | AsyncIterable[Prompt]) -> AsyncIterator[Reply]:
        """Yield the replies.

        Raises:
            TenireError: If the others cannot be answered either.
        """
        check_prompts(prompts)
        return self._replies.of(self._work(prompts))

    async def _work(self, prompts: Iterable[Prompt] | AsyncIterable[Prompt]) -> None:
        if self._asked_schema is not None:  # on a thread: the library reads files when it is loaded
            self._schema = await run_blocking(reply_schema, self._asked_schema)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._ask_at_once(), name="prompts")
                asks = self._asks(prompts)
                if self._provider is None:
                    async for _ in asks:
                        pass
                else:
                    outcomes: Any = self._desk(self._provider).outcomes(asks)
                    async with aclosing(outcomes):
                        async for outcome in outcomes:
                            await self._take(outcome)
                await self._at_once.put(None)
        except BaseExceptionGroup as group:
            raise first_error(group) from None

    def _desk(self, provider: BatchProvider) -> BatchDesk:
        session, account, pipeline = self._session, self._account, self._manner.pipeline
        log, home = session.books.log, session.books.home
        assert log is not None
        assert home is not None
        bench = Bench(
            provider,
            log,
            Spool(Path(home) / "batches"),
            BatchAccount(
                account.model,
                pipeline=pipeline,
                price=self._batch_price,
                purse=account.purse,
                counter=account.counter,
                totals=session.totals,
            ),
            Looks(
                least=_LEAST_LOOK_S, most=_MOST_LOOK_S, part=_LOOK_PART, spacing=_LOOK_SPACING_S, rng=random.Random()
            ),
            session.manager.timer,
            session.manager.control.every,
            session.wall,
            resubmit=lambda: self._in_batch(None),
            schema=self._schema,
            may_lack_api=self._mode is Mode.AUTO,
        )
        self._bench = bench
        return BatchDesk(
            bench,
            service=session.service,
            pipeline=pipeline,
            model=account.model,
            made_after=self._oldest(),
            lines=self._limits.lines,
            size=self._limits.size,
        )

    def _oldest(self) -> float:
        settings = self._session.settings
        if not self._manner.keep:
            return self._session.wall()
        return 0.0 if settings.ttl is None else self._session.wall() - settings.ttl

    # -- batch or at once ----------------------------------------------------------

    async def _asks(
        self, prompts: Iterable[Prompt] | AsyncIterable[Prompt]
    ) -> AsyncGenerator[tuple[bytes, ChatRequest]]:
        index = -1
        async for prompt in each_of(prompts):
            index += 1
            try:
                request = self._make(prompt)
                key = request_key(self._session.service, request)
            except TenireError as error:
                await self._replies.put(Reply(index=index, error=error))
                continue
            if key in self._pending:
                self._pending[key].append(index)
            elif self._in_batch(request):
                self._pending[key] = [index]
                yield key, request
            else:
                await self._at_once.put((index, request))

    def _in_batch(self, request: ChatRequest | None) -> bool:
        """Return whether a request goes into a batch; ``None`` stands for one of usual size."""
        if self._bench is not None and self._bench.lacks_api is not None:
            return False
        cost = batch_cost = None
        if self._price is not None and self._batch_price is not None and self._mode is Mode.AUTO:
            estimate = None if request is None else self._account.counter.estimate(request)
            tokens = (1000, 1000) if estimate is None else (estimate.input_tokens, estimate.output_tokens)
            cost, batch_cost = self._price.most(*tokens), self._batch_price.most(*tokens)
        left = None if self._until is None else self._until - self._now()
        window = 0.0 if self._provider is None else self._provider.window
        return in_batch(self._mode, left=left, window=window, spare=_SPARE_S, cost=cost, batch_cost=batch_cost)

    # -- what batches say -------------------------------------------------------------

    async def _take(self, outcome: BatchOutcome) -> None:
        places = self._pending.pop(outcome.key, ())
        for number, index in enumerate(places):
            if outcome.answer is not None:
                await self._replies.put(self._reply(outcome.answer, index, cached=outcome.kept or number > 0))
            elif outcome.error is not None:
                await self._replies.put(Reply(index=index, error=outcome.error))
            elif outcome.line is None or self._provider is None:
                message = "expected a reply from a batch that was handed over before, got none"
                lost = RejectedError(message, hint="ask again: nothing was paid for it")
                await self._replies.put(Reply(index=index, error=lost))
            else:
                request = self._make(list(self._provider.request(outcome.line).messages))
                await self._at_once.put((index, request))

    def _reply(self, answer: Answer, index: int, *, cached: bool) -> Reply:
        self._session.totals.cached_calls += cached
        try:
            data = None if self._schema is None else self._schema.read(answer.text)
        except TenireError as error:
            return Reply(index=index, error=error)
        reply = answer.reply(cached=cached, data=data)
        reply.index = index
        return reply

    # -- at once --------------------------------------------------------------------

    async def _ask_at_once(self) -> None:
        replies: Any = map_prompts(self._ask, self._waiting(), ahead=_ROOM, ordered=False)
        async with aclosing(replies):
            async for reply in replies:
                reply.index = self._places.pop(reply.index)
                await self._replies.put(reply)

    async def _waiting(self) -> AsyncIterator[Any]:
        number = 0
        while (item := await self._at_once.get()) is not None:
            self._places[number] = item[0]
            number += 1
            yield item[1]

    async def _ask(self, request: Any) -> Reply:
        left = None if self._until is None else max(0.001, self._until - self._now())
        return await self._calls.reply(request, replace(self._manner, deadline=left))


def _provider(session: Session) -> BatchProvider:
    if session.books.log is None:
        message = "a batch goes on when the program ends, so its replies need a place"
        raise ConfigError(message, key="home", hint="give home=…, a directory")
    batches = getattr(session.transport, "batches", None)
    if batches is None:
        message = f"batches need a server that is reached over HTTP, got {type(session.transport).__name__}"
        raise ConfigError(message, key="mode", hint="use mode='realtime', or base_url in place of transport")
    provider: BatchProvider = batches()
    return provider

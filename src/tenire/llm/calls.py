"""One prompt, and whoever may answer it: what is kept, the model, and those that stand in for it.

1. Models are asked in order, each with all its tries, until one answers. The deadline is
   for all of them together.
2. While a provider is known to be down, a call goes on at once to another provider, if
   there is one. Without one it waits.
3. A reply that is no longer fresh, but not too old, is given; a new one is fetched for
   those who come later.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from tenire.concurrency.blocking import run_blocking
from tenire.core.breaker import OPEN
from tenire.core.tasks import Priority
from tenire.errors import BudgetError, ConfigError, InternalError, StoreError, TenireError
from tenire.llm.reply_store import Asked
from tenire.llm.requests import request_key
from tenire.llm.schemas import reply_schema

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from tenire.llm.endpoint import Endpoint, Manner
    from tenire.llm.records import ChatRequest
    from tenire.llm.replies import Answer, Reply
    from tenire.llm.schemas import ReplySchema
    from tenire.llm.session import Session
    from tenire.llm.streams import Feed

__all__ = ["Calls"]

_FINAL = (BudgetError, StoreError, ConfigError)
"""What no other model can help with."""


class Calls:
    """Answers prompts.

    Args:
        session: Of the client.
        others: Of the clients that stand in for it, in order.
    """

    def __init__(self, session: Session, others: Sequence[Calls] = ()) -> None:
        self._session = session
        self._others = others

    async def reply(self, request: ChatRequest, manner: Manner, feed: Feed | None = None) -> Reply:
        """Return the reply to a request.

        Args:
            request: The request.
            manner: How to call.
            feed: Gives on what comes, or ``None``.

        Raises:
            TenireError: If nobody has one: what the last who was asked said.
        """
        endpoints = self._session.endpoints
        if len(endpoints) == 1 and not self._others:
            return await self._ask(endpoints[0], request, manner, feed)
        now = asyncio.get_running_loop().time
        until = None if manner.deadline is None else now() + manner.deadline
        asks: list[Callable[[ChatRequest, Manner, Feed | None], Awaitable[Reply]]] = []
        if not self._is_down():
            asks += [partial(self._ask, endpoint) for endpoint in endpoints]
        asks += [other.stand_in for other in self._others]
        for place, ask in enumerate(asks, start=1):
            try:
                return await ask(request, manner, feed)
            except _FINAL:
                raise
            except TenireError as error:
                left = None if until is None else until - now()
                if place == len(asks) or (left is not None and left <= 0) or (feed is not None and feed.characters):
                    raise
                error.add_note("tenire: the next model was asked")
                manner = replace(manner, deadline=left)
        raise InternalError("a prompt was given to nobody")

    def _is_down(self) -> bool:
        return bool(self._others) and self._session.endpoints[0].breaker.state == OPEN

    async def stand_in(self, request: ChatRequest, manner: Manner, feed: Feed | None = None) -> Reply:
        """Return the reply to a request that was meant for another model."""
        return await self.reply(replace(request, model=self._session.settings.model), manner, feed)

    async def _ask(self, endpoint: Endpoint, request: ChatRequest, manner: Manner, feed: Feed | None) -> Reply:
        session = self._session
        model = endpoint.account.model
        if model != request.model:
            request = replace(request, model=model)
        schema = None if request.schema is None else await self._schema(request.schema)
        asked = Asked(request_key(session.service, request) if manner.keep else b"", self._oldest())
        answer = await endpoint.ask(asked, request, manner, schema, feed)
        if not asked.calls:
            session.totals.cached_calls += 1
            if answer.made_at < session.fresh_since:
                fresh = Asked(asked.key, session.fresh_since)
                session.in_background(partial(self._renew, endpoint, fresh, request, manner, schema), fresh)
        data = None if schema is None else schema.read(answer.text)
        return answer.reply(cached=not asked.calls, data=data)

    async def _renew(
        self,
        endpoint: Endpoint,
        asked: Asked,
        request: ChatRequest,
        manner: Manner,
        schema: ReplySchema | None,
    ) -> Answer:
        """Get a new reply for those who come later, unless another process has got one."""
        return await endpoint.ask(asked, request, replace(manner, priority=Priority.LOW, deadline=None), schema)

    async def _schema(self, schema: Mapping[str, Any]) -> ReplySchema:
        if self._session.knows_schemas:
            return reply_schema(schema)
        # The first one loads a library, which reads files.
        made = await run_blocking(reply_schema, schema)
        self._session.knows_schemas = True
        return made

    def _oldest(self) -> float:
        """Return when a kept reply must have been made to count, seconds since the epoch."""
        session = self._session
        return session.fresh_since - session.settings.stale

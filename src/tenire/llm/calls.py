"""One prompt, and whoever may answer it: what is kept, the model, and those that stand in for it.

1. Models are asked in order, each with all its tries, until one answers. The deadline is
   for all of them together.
2. While a model is known to be down, a call goes on at once to the next one. What failed for
   another reason than an outage is not asked again; the others are, in rounds, until one
   answers. From the second round on the call waits for the first of them, ``_PATIENCE_S``
   seconds in each round: it is the one that was meant.
3. A model in whose place nobody is left to be asked is waited for as long as it takes; but
   where a call is to try once, each is asked once at the most, and none is waited for. If all
   others have failed, the first of those that gave no answer at all is asked once more: whether
   it is down is found out only where nobody stands in for it (``endpoint``).
4. A reply that is no longer fresh, but not too old, is given; a new one is fetched for
   those who come later: once at a time for each request, and not while the model is down.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from tenire.concurrency.blocking import run_blocking
from tenire.core.outages import Blame
from tenire.core.tasks import Priority
from tenire.errors import BudgetError, ConfigError, StoreError, TenireError
from tenire.llm.failures import is_unanswered
from tenire.llm.reply_store import Asked
from tenire.llm.requests import request_key
from tenire.llm.schemas import reply_schema
from tenire.resilience.failures import PassedOverError
from tenire.resilience.retries import Tally

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from tenire.llm.endpoint import Endpoint, Manner
    from tenire.llm.passage import Account
    from tenire.llm.records import ChatRequest
    from tenire.llm.replies import Answer, Reply
    from tenire.llm.schemas import ReplySchema
    from tenire.llm.session import Session
    from tenire.llm.streams import Feed

__all__ = ["Calls"]

_FINAL = (BudgetError, StoreError, ConfigError)
"""What no other model can help with."""

_Ask: TypeAlias = "Callable[..., Awaitable[Reply]]"

_PATIENCE_S = 15.0
_PAUSE_S = 1.0  # between rounds
_NEVER = float("inf")


class _Model(NamedTuple):
    """One that may be asked.

    Attributes:
        ask: Asks it for one prompt.
        tally: How often the prompt has failed there.
    """

    ask: _Ask
    tally: Tally


class Calls:
    """Answers prompts.

    Args:
        session: Of the client.
        others: Of the clients that stand in for it, in order.
    """

    def __init__(self, session: Session, others: Sequence[Calls] = ()) -> None:
        self._session = session
        self._others = others
        self._endpoints: tuple[Endpoint, ...] = ()
        self._own: tuple[_Ask, ...] = ()

    async def reply(self, request: ChatRequest, manner: Manner, feed: Feed | None = None) -> Reply:
        """Return the reply to a request.

        Args:
            request: The request.
            manner: How to call.
            feed: Gives on what comes, or ``None``.

        Raises:
            TenireError: If nobody has one: what the last who was asked said.
        """
        loop, timer = asyncio.get_running_loop(), self._session.manager.timer
        blame = Blame()
        models = [_Model(ask, Tally(blame)) for ask in self.asks()]
        until = None if manner.deadline is None else loop.time() + manner.deadline
        patience, once = 0.0, self._session.endpoints[0].patience == 0
        silent: list[_Model] = []
        while True:
            for model in tuple(models):
                first, last, alone = model is models[0], model is models[-1], len(models) == 1
                waits = _NEVER if alone else patience if first else 0.0
                if until is not None:
                    manner = replace(manner, deadline=max(1e-3, until - loop.time()))
                try:
                    return await model.ask(request, manner, feed, patience=waits, tally=model.tally)
                except _FINAL:
                    raise
                except TenireError as error:
                    if not isinstance(error, PassedOverError):
                        models.remove(model)
                        blame.settle()
                        if is_unanswered(error) and not alone and not once:
                            silent.append(model)
                        if not models:
                            models, silent = silent[:1], []
                    ends = loop.time() + (_PAUSE_S if last else 0.0)
                    over = (last and once) or (until is not None and ends >= until)
                    if not models or over or (feed is not None and feed.characters):
                        raise
                    error.add_note("tenire: the next model was asked")
            patience = _PATIENCE_S
            await timer.wait_until(timer.now() + _PAUSE_S)

    def asks(self) -> tuple[_Ask, ...]:
        """Return what asks the model, and each of those that stand in for it, in order."""
        endpoints = self._session.endpoints
        if endpoints is not self._endpoints:  # others each time that the client is opened
            self._endpoints = endpoints
            self._own = tuple(partial(self._ask, endpoint) for endpoint in endpoints)
        return self._own + tuple(ask for other in self._others for ask in other.asks()) if self._others else self._own

    def accounts(self) -> list[Account]:
        """Return whom calls are charged to, in the same order."""
        accounts = [endpoint.account for endpoint in self._session.endpoints]
        return accounts + [account for other in self._others for account in other.accounts()]

    async def _ask(
        self,
        endpoint: Endpoint,
        request: ChatRequest,
        manner: Manner,
        feed: Feed | None,
        *,
        patience: float,
        tally: Tally,
    ) -> Reply:
        session = self._session
        model = endpoint.account.model
        if model != request.model:
            request = replace(request, model=model)
        schema = None if request.schema is None else await self._schema(request.schema)
        asked = Asked(request_key(session.service, request), self._oldest()) if manner.keep else Asked(b"")
        answer = await endpoint.ask(asked, request, manner, schema, feed, patience=patience, tally=tally)
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
        manner = replace(manner, priority=Priority.LOW, deadline=None)
        return await endpoint.ask(asked, request, manner, schema, patience=0.0)  # the kept one stands in for it

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

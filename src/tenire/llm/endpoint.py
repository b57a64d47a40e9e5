"""One model of one provider, with all that guards its calls.

``Deadline(Cache → SingleFlight(Retry+budget(Breaker(Admission[slot, rate, money](Hedge(Timeout(call)))))))``,
where the cache and the single flight reach over processes (``reply_store``).

1. A refusal for a quota (429) is put off and burns no try. While the model is down, calls
   wait behind the breaker, or try again and again if they are too few to open it; that
   burns none either, unless another model stands in. A call that is to try once does not wait.
2. What was sent and had no answer may be charged for, so it burns a try, also in an outage.
   A call that nobody stands in for and that has used up its tries in this way is known by
   something harmless to have met an outage (``input_faults``). If so its end is waited for,
   and the call has its tries anew.
3. A reply that does not follow the schema is charged, and asked for once more together with
   what is wrong with it. If that one does not either, it is the call's error. A second copy
   of a slow call asks what its call asks: neither uses up the other's repair.
4. A stream and a whole reply to the same request are one call, which is as urgent as the most
   urgent of those who wait for it. If a stream breaks off, who
   had joined it is no worse off: the call is made anew.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from tenire.concurrency.submit import priority_of
from tenire.core.breaker import CircuitBreaker
from tenire.core.retry_budget import RetryBudget
from tenire.core.retrying import Kind
from tenire.core.tasks import Priority, Retry
from tenire.errors import BadRequestError, BrokenReplyError, ModelError, RateLimitedError, TenireError
from tenire.llm.failures import is_unanswered, kind_of, sign_of_outage
from tenire.llm.input_faults import Fault, InputFaults
from tenire.llm.passage import Passage
from tenire.llm.records import ChatRequest
from tenire.llm.replies import Answer
from tenire.llm.reply_store import Asked
from tenire.llm.streams import BROKE_OFF
from tenire.resilience import Guard
from tenire.resilience.failures import Failure
from tenire.resilience.gate import gate_of
from tenire.resilience.retries import Tally
from tenire.resilience.urgency import Urgency

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tenire.core.hedging import Hedging
    from tenire.core.outages import Sign
    from tenire.llm.passage import Account
    from tenire.llm.records import Transport
    from tenire.llm.reply_store import ReplyStore
    from tenire.llm.schemas import ReplySchema
    from tenire.llm.streams import Feed
    from tenire.resilience import FailedTry, GuardStatistics

__all__ = ["RETRY", "Endpoint", "Manner", "kind_of_failure"]

_log = logging.getLogger("tenire.llm")

RETRY = Retry(attempts=8, backoff=0.25, max_delay=20.0)
"""When calls are tried again by default: one in a million fails where every fifth try does."""

_BUDGET = (0.5, 100.0, 1000.0)  # retries for each call, to begin with, and saved up at the most
_TOLD_EVERY_S = 600.0
_HARMLESS = "Hello"
_OFF_SCHEMA = ("json", "schema")
_STILL_OFF_SCHEMA = "still off schema"
_UNANSWERED = Failure(Kind.TRANSIENT, may_be_the_call=True)
_NEVER = float("inf")
_AT_ONCE_S = 1e-3


@dataclass(frozen=True, slots=True)
class Manner:
    """How one call is made.

    Attributes:
        priority: Its class.
        pipeline: Whose share and whose money it takes.
        deadline: Seconds for all of it, or ``None``.
        keep: Whether it may be answered by what is kept, and is kept.
    """

    priority: Priority | str = Priority.NORMAL
    pipeline: str = "default"
    deadline: float | None = None
    keep: bool = True


class Endpoint:
    """Makes calls of one model.

    Args:
        transport: The way to the provider.
        account: Whom calls are charged to.
        store: Keeps replies.
        retry: When to try again.
        timeout: Seconds for one try.
        hedge: Whether to send a second copy of slow calls.
        breaker: Of the model.
        wall: Tells seconds since the epoch.

    Attributes:
        account: Whom calls are charged to.
        breaker: Of the model.
        patience: Seconds that a call waits until the model is back: 0 for one that is to try once, else no limit.
        plain: Makes calls that nobody keeps.
    """

    def __init__(
        self,
        transport: Transport,
        account: Account,
        store: ReplyStore,
        *,
        retry: Retry = RETRY,
        timeout: float,
        hedge: Hedging | bool = False,
        breaker: CircuitBreaker | None = None,
        wall: Callable[[], float],
    ) -> None:
        self.account = account
        self._store = store
        self.breaker = breaker or new_breaker()
        self.patience = 0.0 if retry.attempts == 1 else float("inf")
        self._told_at = float("-inf")
        ratio, reserve, cap = _BUDGET
        guard = partial(
            Guard,
            hedge=hedge,
            retry=retry,
            budget=RetryBudget(ratio=ratio, reserve=reserve, cap=cap),
            breaker=self.breaker,
            timeout=timeout,
            idempotent=True,
            classify=kind_of_failure,
            watch=self._tell,
        )
        self._keeping, self._passing = guard(cache=store, outage=sign_of_outage), guard(outage=sign_of_outage)
        self.plain = guard()  # who uses it finds out in a way of its own whose fault a failure is
        self._guard, self._others = guard, list[Guard]()
        self._faults, self._asking = self.finding_faults()
        self._try = _Try(transport, wall, f"the call of {account.model}", priced=account.price is not None)

    async def ask(
        self,
        asked: Asked,
        request: ChatRequest,
        manner: Manner,
        schema: ReplySchema | None = None,
        feed: Feed | None = None,
        *,
        patience: float = float("inf"),
        tally: Tally | None = None,
    ) -> Answer:
        """Return the answer to a request.

        Args:
            asked: What it is known by.
            request: The request.
            manner: How to call.
            schema: What the reply must follow, or ``None``.
            feed: Gives on what comes; ``None`` if only the whole reply counts.
            patience: Seconds to wait until the model is back, if another one stands in for it.
            tally: How often the request has failed here before.

        Raises:
            TenireError: If there is none.
        """
        loop, deadline = asyncio.get_running_loop(), manner.deadline
        started = loop.time()
        tally = Tally() if tally is None else tally
        while True:
            try:
                answer = await self._ask(asked, request, manner, schema, feed, deadline, patience, tally)
            except BrokenReplyError as error:
                # Without a word given on, it was somebody else's stream, which this one had joined.
                if error.code != BROKE_OFF or (feed is not None and feed.characters):
                    raise
            except TenireError as error:
                left = None if manner.deadline is None else manner.deadline - (loop.time() - started)
                if patience < _NEVER or not await self._met_an_outage(error, manner, tally, left):
                    raise
                tally.begin_anew()
            else:
                self._faults.answered()
                return answer
            if manner.deadline is not None:
                deadline = max(1e-3, manner.deadline - (loop.time() - started))

    async def _met_an_outage(self, error: TenireError, manner: Manner, tally: Tally, left: float | None) -> bool:
        """Return whether a call has failed in all its tries for an outage, once that is over.

        Args:
            error: Of its last try.
            manner: How it is called.
            tally: How often it has failed.
            left: Seconds until its deadline, or ``None``.
        """
        known = self._faults.waits and gate_of(self.breaker).answered
        if not known or not is_unanswered(error) or (left is not None and left <= _AT_ONCE_S):
            return False
        try:
            async with asyncio.timeout(left):
                return await self._faults.of(error, tally.began_at, partial(self._greets, manner)) is Fault.OUTAGE
        except TimeoutError:
            return False

    async def _greets(self, manner: Manner) -> bool:
        """Return whether the model answers a word; in an outage only when that is over."""
        # No two are equal: what stands before a model may know what it has answered, and answer in its place.
        words = f"{_HARMLESS} {secrets.token_hex(3)}"
        asked, request = Asked(b""), ChatRequest(self.account.model, ({"role": "user", "content": words},), 1)
        urgency = Urgency(priority_of(manner.priority))
        admission = partial(self._passage, asked, request, urgency, manner.pipeline)
        try:
            await self._asking.call(self._try, asked, request, None, None, admission=admission, hand_on=True)
        except TenireError as error:
            return isinstance(error, BadRequestError)
        finally:
            if asked.charges:
                await self._store.record(asked)
        return True

    async def _ask(
        self,
        asked: Asked,
        request: ChatRequest,
        manner: Manner,
        schema: ReplySchema | None,
        feed: Feed | None,
        deadline: float | None,
        patience: float,
        tally: Tally,
    ) -> Answer:
        urgency = Urgency(priority_of(manner.priority))
        try:
            answer: Answer = await (self._keeping if manner.keep else self._passing).call(
                self._try,
                asked,
                request,
                schema,
                feed,
                key=asked if manner.keep else None,
                deadline=deadline,
                admission=partial(self._passage, asked, request, urgency, manner.pipeline),
                hand_on=True,
                hedged=feed is None,  # a stream has one source: two copies would be given on both
                patience=min(patience, self.patience),
                tally=tally,
                urgency=urgency,
            )
        except ModelError as error:
            # What an outage has answered was no answer to the request.
            error.tries = min(asked.answers, tally.tries + tally.put_off) if tally.outages else asked.answers
            raise
        finally:
            if asked.charges:  # of a request that is not kept
                await self._store.record(asked)
        return answer

    def _passage(self, asked: Asked, request: ChatRequest, urgency: Urgency, pipeline: str) -> Passage:
        """Return what lets one try in, with the room that this one needs: a second question is longer."""
        sent = _as_sent(request, asked)
        return Passage(self.account, asked, self.account.counter.estimate(sent), urgency, pipeline, sent=sent)

    def _tell(self, failed: FailedTry) -> None:
        """Say now and then in an outage what it looks like."""
        now = asyncio.get_running_loop().time()
        if failed.kind is Kind.OUTAGE and now >= self._told_at + _TOLD_EVERY_S:
            self._told_at = now
            hint = getattr(failed.error, "hint", None)
            about = f"{failed.error} ({hint})" if hint else failed.error
            _log.warning("%s; calls without a deadline wait for the end of such an outage", about)

    def finding_faults(self) -> tuple[InputFaults, Guard]:
        """Return what tells an outage from the fault of a request, and the guard that asks for something harmless."""
        waits = self.patience > 0
        faults = InputFaults(gate_of(self.breaker), lambda: asyncio.get_running_loop().time(), waits=waits)
        return faults, self.judging(kind_of_failure, faults.sign)

    def judging(
        self,
        classify: Callable[[BaseException], Kind | Failure | None],
        outage: Callable[[BaseException], Sign | None] | None = None,
    ) -> Guard:
        """Return another guard like ``plain``, with the same breaker and budget of retries, which sends no copies.

        Args:
            classify: Says what a failure means.
            outage: Says what it tells of an outage.
        """
        made = self._guard(classify=classify, outage=outage, hedge=False)
        self._others.append(made)
        return made

    def statistics(self) -> list[GuardStatistics]:
        """Return what each of its guards has done."""
        return [guard.statistics() for guard in (self._keeping, self._passing, self.plain, *self._others)]


class _Try:
    """Makes one try of one call."""

    def __init__(self, transport: Transport, wall: Callable[[], float], name: str, *, priced: bool) -> None:
        self._transport = transport
        self._wall = wall
        self._priced = priced
        self.__qualname__ = name

    async def __call__(
        self, passage: Passage, asked: Asked, request: ChatRequest, schema: ReplySchema | None, feed: Feed | None
    ) -> Answer:
        sent = passage.sent or request
        if feed is None:
            reply = await passage.send(partial(self._transport.complete, sent))
        else:
            feed.check(sent.model)
            reply = await passage.send(partial(feed.take, self._transport, sent))
        if schema is not None:
            _check(schema, reply.text, asked, repaired=sent is not request)
        return Answer.of(reply, asked.cost if self._priced else None, self._wall())


def new_breaker() -> CircuitBreaker:
    """Return a breaker for one provider: soon open in an outage, and soon closed after it.

    A provider that is well may fail every fifth call, and one that is called twenty times a
    second has six hundred results in half a minute: so the latest sixty count, and one probe
    may fail. Nobody gains by looking less often than every eight seconds.
    """
    return CircuitBreaker(
        minimum_calls=20, window_calls=60, open_for=1.0, longest_open=8.0, half_open_failures=2, rng=random.Random()
    )


def kind_of_failure(error: BaseException) -> Kind | Failure | None:
    """Return whether another try may help; ``None`` for what is no failure of a model."""
    if is_unanswered(error):
        return _UNANSWERED
    if isinstance(error, RateLimitedError) and kind_of(error) is not Kind.PERMANENT:
        return Kind.UNCOUNTED
    if isinstance(error, BrokenReplyError) and error.code in _OFF_SCHEMA:
        return Kind.UNCOUNTED
    if isinstance(error, BrokenReplyError) and error.code in (_STILL_OFF_SCHEMA, BROKE_OFF):
        return Kind.PERMANENT
    return kind_of(error)


def _check(schema: ReplySchema, text: str, asked: Asked, *, repaired: bool) -> None:
    try:
        schema.read(text)
    except BrokenReplyError as error:
        if not repaired:
            asked.repair = text, str(error)
        else:
            error.code = _STILL_OFF_SCHEMA
            error.hint = "it was asked twice: simplify the schema, raise max_output_tokens, or take a larger model"
        raise


def _as_sent(request: ChatRequest, asked: Asked) -> ChatRequest:
    """Return a request as the next try sends it: if a reply did not fit, with that and what was wrong with it."""
    if asked.repair is None:
        return request
    text, problem = asked.repair
    complaint = f"{problem}. Answer again, with JSON that follows it and nothing else."
    added: tuple[Mapping[str, Any], ...] = (
        {"role": "assistant", "content": text or "(nothing)"},
        {"role": "user", "content": complaint},
    )
    return ChatRequest(
        request.model, (*request.messages, *added), request.max_output_tokens, request.schema, request.parameters
    )

"""What one try of a call needs before it is sent, and what is told of it afterwards.

1. First its slot and its part of the quota, then the money that it can cost at the most: what
   waits for its turn keeps no money from what goes before it. But nobody waits for money while
   holding a slot: it is given back until the money is there.
2. What it really used is told to the quota, and what it cost to the purse, the client's
   totals and the request, which takes it into the ledger.
3. Until one call of the model has had an answer, calls go one after the other, for a short
   while: a wrong key costs one of them (``core.first_call``).
4. Where there is a budget, the home knows what a try is expected to cost before it is sent:
   when the program is killed meanwhile, that counts as spent (``storage.spending``).
5. A try that broke off after it was sent is charged with all that was taken for it, as a
   guess, if the provider is likely to charge for it; not if the provider has just refused
   another one for its key or its model, nor if not all of it was sent.
6. While it waits for its turn it rises when somebody more urgent comes to wait for the call.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

from tenire.errors import ModelError, RateLimitedError
from tenire.llm.failures import is_unsent
from tenire.llm.guesses import most_tokens, most_usage, uncounted_usage
from tenire.llm.rate_headers import rate_report
from tenire.storage.spending import Charge

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from tenire.concurrency.quotas import Grant, Quota
    from tenire.core.rate_report import RateReport
    from tenire.llm.first_call import FirstCallGate
    from tenire.llm.money import Price
    from tenire.llm.purse import Purse
    from tenire.llm.records import ChatRequest, Usage
    from tenire.llm.reply_store import Asked
    from tenire.llm.tokens import TokenCounter, TokenEstimate
    from tenire.llm.totals import Totals
    from tenire.resilience.urgency import Urgency

__all__ = ["Account", "Passage"]

T = TypeVar("T")

_RENEWED_AT_ONCE = 8
"""Of those that wait, at each answer. An answer lets in one of them, so this is soon ahead of them."""

_BUSY = frozenset({408, 429, 503, 504, 529})  # what says that too much is in flight


class Account:
    """Whom calls of one model are charged to.

    Attributes:
        model: The model.
        quota: What may be sent.
        purse: What may be spent.
        price: Of the model, or ``None`` if it is not known.
        counter: Estimates tokens.
        totals: Of the client.
        first_call: Shows whether calls of the model can work at all.
        waiting: Passages that wait to be let in, whose estimates are renewed meanwhile.
        ready: Given a call's urgency and its pipeline, waits until the model can be called, and has it so while the
            context is open; ``None`` if it always can.
    """

    __slots__ = (
        "_outdated",
        "_revision",
        "counter",
        "first_call",
        "model",
        "price",
        "purse",
        "quota",
        "ready",
        "timeout",
        "totals",
        "waiting",
    )

    def __init__(
        self,
        model: str,
        *,
        quota: Quota,
        purse: Purse,
        price: Price | None,
        counter: TokenCounter,
        totals: Totals,
        timeout: float,
        first_call: FirstCallGate,
        ready: Callable[[Urgency, str], AbstractAsyncContextManager[None]] | None = None,
    ) -> None:
        self.model = model
        self.quota = quota
        self.purse = purse
        self.price = price
        self.counter = counter
        self.totals = totals
        self.timeout = timeout
        self.first_call = first_call
        self.ready = ready
        self.waiting: dict[Passage, None] = {}
        self._outdated: deque[Passage] = deque()
        self._revision = counter.revision

    def learn(self, estimate: TokenEstimate, usage: Usage) -> None:
        """Take in what a call used, and have those that wait know it, in their order, some at a time."""
        counter = self.counter
        counter.learn(estimate, usage)
        if counter.revision != self._revision:
            self._revision = counter.revision
            self._outdated = deque(self.waiting)
        outdated = self._outdated
        for _ in range(min(_RENEWED_AT_ONCE, len(outdated))):
            passage = outdated.popleft()
            if passage in self.waiting:
                passage.renew()


class Passage:
    """Lets one try in; an async context manager whose value is itself.

    Args:
        account: Whom it is charged to.
        asked: The request.
        estimate: What it will need.
        urgency: Its class.
        pipeline: Whose share and whose money it takes.
        sent: What is sent once it is let in, for whoever makes the call.

    Raises:
        RejectedError: If it is more than the whole quota.
    """

    __slots__ = (
        "_account",
        "_asked",
        "_estimate",
        "_expected",
        "_first",
        "_grant",
        "_most",
        "_permit",
        "_pipeline",
        "_ready",
        "_spent",
        "_urgency",
        "sent",
    )

    def __init__(
        self,
        account: Account,
        asked: Asked,
        estimate: TokenEstimate,
        urgency: Urgency,
        pipeline: str,
        *,
        sent: ChatRequest | None = None,
    ) -> None:
        self.sent = sent
        self._account = account
        self._asked = asked
        self._estimate = estimate
        self._pipeline = pipeline
        self._urgency = urgency
        self._most = self._most_cost(estimate)
        self._spent = 0
        self._first = False
        self._expected: int | None = None
        self._grant: Grant | None = None
        self._ready: AbstractAsyncContextManager[None] | None = None
        self._permit = account.quota.permit(
            input_tokens=estimate.input_tokens,
            output_tokens=estimate.output_tokens,
            priority=urgency.priority,
            pipeline=pipeline,
            name=account.model,
        )

    def renew(self) -> None:
        """Need what is known by now, while it waits."""
        account, before = self._account, self._estimate
        self._estimate = estimate = account.counter.renewed(before)
        self._most = self._most_cost(estimate)
        if estimate.tokens == before.tokens:
            return
        account.quota.renew(self._permit, input_tokens=estimate.input_tokens, output_tokens=estimate.output_tokens)

    @property
    def model(self) -> str:
        """The model that is called."""
        return self._account.model

    async def __aenter__(self) -> Passage:
        ready = self._account.ready
        if ready is not None:
            model = ready(self._urgency, self._pipeline)
            await model.__aenter__()
            self._ready = model
        self._urgency.follow(self._permit.rise)
        try:
            await self._enter()
        except BaseException:
            await self._unready()
            raise
        finally:
            self._urgency.leave(self._permit.rise)
        return self

    async def _enter(self) -> None:
        purse, permit = self._account.purse, self._permit
        self._account.waiting[self] = None
        try:
            self._grant = await permit.__aenter__()
        finally:
            del self._account.waiting[self]
        taken = False
        try:
            taken = await purse.take_now(self._pipeline, self._most, self._urgency.priority)
        finally:
            if not taken:
                permit.give_back()
        if not taken:
            await purse.take(self._pipeline, self._most, self._urgency)  # from here on it stays the same
            try:
                self._grant = await permit.__aenter__()
            except BaseException:
                purse.settle(self._pipeline, self._most, cost=0)
                raise
        try:
            self._first = await self._account.first_call.enter()
            if self._most and purse.limited:
                self._expected = await purse.expect(self._charge_of(most_usage(self._estimate), guessed=True))
        except BaseException as error:
            await self.__aexit__(type(error), error, None)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._first:
            self._account.first_call.leave()
        if self._expected is not None:
            if self._spent:
                self._asked.expected.append(self._expected)
            else:
                self._account.purse.withdraw(self._expected)
        self._account.purse.settle(self._pipeline, self._most, cost=self._spent)
        self._permit.give_back()
        if self._ready is not None:
            await self._unready()

    async def _unready(self) -> None:
        model, self._ready = self._ready, None
        if model is not None:
            await model.__aexit__(None, None, None)

    async def send(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make the call; what it returns has ``usage`` and ``rates``."""
        account, grant = self._account, self._grant
        assert grant is not None
        quota, now = account.quota, asyncio.get_running_loop().time
        self._asked.calls += 1
        account.totals.calls += 1
        started = now()
        quota.sent(grant)
        self._asked.under_way += 1
        try:
            reply: Any = await call()
        except asyncio.CancelledError as error:
            quota.ended(grant, ok=now() - started < account.timeout * 0.999)
            if not account.first_call.refuses and not is_unsent(error):
                self._guess()
            raise
        except ModelError as error:
            account.first_call.ended(error)
            self._failed(grant, error)
            raise
        except BaseException:
            quota.ended(grant, ok=True)
            raise
        finally:
            self._asked.under_way -= 1
        quota.ended(grant, ok=True)
        account.first_call.ended(None)
        self._succeeded(grant, reply.usage, reply.rates, len(getattr(reply, "text", "")))
        return reply  # type: ignore[no-any-return]

    def _succeeded(self, grant: Grant, usage: Usage | None, rates: RateReport | None, characters: int) -> None:
        account = self._account
        if usage is None:
            if rates is not None:
                account.quota.observe(rates, grant)
            self._charge(uncounted_usage(self._estimate, characters), guessed=True)
            return
        account.learn(self._estimate, usage)
        account.quota.settle(
            grant,
            tokens=usage.tokens,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            bounded=self._estimate.bounded,
            report=rates,
        )
        self._charge(usage, guessed=False)

    def _failed(self, grant: Grant, error: ModelError) -> None:
        quota = self._account.quota
        self._asked.answers += error.status is not None
        rates = rate_report(error.headers) if error.headers else None
        if isinstance(error, RateLimitedError):
            quota.refused(grant, error.retry_after, rates)
        elif rates is not None:
            quota.observe(rates, grant)
        quota.ended(grant, ok=error.status not in _BUSY and error.code != "timeout")
        if error.charged:
            self._guess()

    def _guess(self) -> None:
        """Take in that the provider may charge for what nobody has seen."""
        self._charge(most_usage(self._estimate), guessed=True)

    def _charge(self, usage: Usage, *, guessed: bool) -> None:
        charge = self._charge_of(usage, guessed=guessed)
        self._spent += charge.cost
        self._asked.charges.append(charge)
        self._asked.cost += charge.cost
        self._account.totals.add(charge)

    def _most_cost(self, estimate: TokenEstimate) -> int:
        price = self._account.price
        return 0 if price is None else price.most(*most_tokens(estimate))

    def _charge_of(self, usage: Usage, *, guessed: bool) -> Charge:
        account = self._account
        cost = 0 if account.price is None else account.price.cost(usage)
        return Charge(
            self._pipeline,
            account.model,
            usage.input_tokens,
            usage.cached_tokens,
            usage.output_tokens,
            usage.reasoning_tokens,
            cost,
            cost if guessed else 0,
        )

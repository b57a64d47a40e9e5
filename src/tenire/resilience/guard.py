"""One guarded call: Fallback(Deadline(Cache(SingleFlight(Retry(Breaker(Admission(Hedge(Timeout(call))))))))).

Each layer is there only if it was asked for. What the inner four do stands in
``attempts``.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Never, ParamSpec, TypeVar, cast

from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.unbroken import unbroken
from tenire.errors import CallTimeoutError, ConfigError
from tenire.resilience.attempts import Attempts, Call
from tenire.resilience.bulkhead import Bulkhead
from tenire.resilience.cache import MISSING, FillingCache
from tenire.resilience.failures import Judge
from tenire.resilience.flights import Flights
from tenire.resilience.functions import is_async, is_generator, name_of
from tenire.resilience.gate import gate_of
from tenire.resilience.hedge import Hedge
from tenire.resilience.keys import key_of
from tenire.resilience.options import breaker_of, budget_of, check_functions, hedging_of, retry_of, seconds_of
from tenire.resilience.plain import PlainCalls
from tenire.resilience.retries import Retries, tries_in_words
from tenire.resilience.timing import time_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

    from tenire.clock import Clock
    from tenire.core.breaker import CircuitBreaker
    from tenire.core.concurrency_limit import AdaptiveLimit
    from tenire.core.hedging import Hedging
    from tenire.core.outages import Sign
    from tenire.core.retry_budget import RetryBudget
    from tenire.core.retrying import Kind
    from tenire.core.tasks import Retry
    from tenire.resilience.attempts import Admission
    from tenire.resilience.cache import Cache
    from tenire.resilience.failures import Failure
    from tenire.resilience.retries import FailedTry, Tally
    from tenire.resilience.urgency import Urgency

__all__ = ["Guard", "GuardStatistics"]

P = ParamSpec("P")
T = TypeVar("T")

_NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class GuardStatistics:
    """What a guard has done so far.

    Attributes:
        calls: Calls that came.
        cached: Calls that the cache answered.
        shared: Calls that joined an equal one that was under way.
        tries: Times that a function was called, second copies not included.
        retries: Those of them that were not the first of their call.
        copies: Second copies that were sent.
        copies_won: Second copies that answered first.
        failed: Calls that ended with an exception.
        fallbacks: Of these, calls that the fallback answered.
        waiting: Calls that wait for the breaker now.
        state: Of the breaker, or ``None``.
    """

    calls: int
    cached: int
    shared: int
    tries: int
    retries: int
    copies: int
    copies_won: int
    failed: int
    fallbacks: int
    waiting: int
    state: str | None


class Guard:
    """Makes calls that may fail; as a decorator, or by ``call``.

    One guard stands for one thing that is called: functions that share a guard share its
    breaker, its retry budget and its slots.

    Example:
        >>> import asyncio
        >>> @Guard(retry=3, timeout=10.0)
        ... async def fetch(number: int) -> int:
        ...     return number
        >>> asyncio.run(fetch(1))
        1

    Args:
        retry: When to try again: a ``Retry``, or a number of tries in all.
        budget: What pays for retries. By default one of the guard's own; ``False`` for no
            limit, or one that several guards share.
        breaker: ``True``, or a ``CircuitBreaker``, which several guards may share.
        timeout: Seconds for one try.
        deadline: Seconds for all of it, waiting included.
        hedge: Sends a second copy of a slow call: ``True``, or a ``Hedging``.
        idempotent: Whether a call may be made twice; ``hedge`` needs it.
        limit: Calls at the same time, a number or an ``AdaptiveLimit``.
        admission: In place of ``limit``, makes an async context manager that lets one try in,
            for example ``lambda: manager.orchestrator.permit(needs)``.
        share: Whether equal calls at the same time are made once.
        cache: Keeps results; equal calls at the same time are then made once too.
        key: What makes two calls equal, a function of their arguments. By default, all of them.
        fallback: Is given the exception when all is lost, and returns the result, or an
            awaitable of it, or raises.
        watch: Is told of every try that failed, as a ``FailedTry``: for logs and metrics.
        classify: Says what an exception means, or ``None`` for the usual meaning.
        outage: Says what an exception tells of an outage, or ``None`` for nothing. With it an
            outage is waited out, however few calls there are: what fails in one does not count
            as a try. Needs a ``breaker``, which knows who was answered.
        clock: By default the running loop's time.
        rng: Where chance comes from.

    Attributes:
        breaker: The breaker, or ``None``.

    Raises:
        ConfigError: If an argument is impossible.
    """

    def __init__(
        self,
        *by_position: Never,
        retry: Retry | int | None = None,
        budget: RetryBudget | bool = True,
        breaker: CircuitBreaker | bool = False,
        timeout: float | None = None,
        deadline: float | None = None,
        hedge: Hedging | bool = False,
        idempotent: bool = False,
        limit: int | AdaptiveLimit | None = None,
        admission: Admission | None = None,
        share: bool = False,
        cache: Cache | None = None,
        key: Callable[..., Hashable] | None = None,
        fallback: Callable[[Exception], Any] | None = None,
        watch: Callable[[FailedTry], object] | None = None,
        classify: Callable[[BaseException], Kind | Failure | None] | None = None,
        outage: Callable[[BaseException], Sign | None] | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        if by_position:
            message = f"guarded() takes its options by name, got {by_position[0]!r}"
            raise ConfigError(message, key="guarded", hint="write @tenire.guarded(retry=3) above a function")
        if limit is not None and admission is not None:
            message = "limit and admission both say when a try is let in"
            raise ConfigError(message, key="admission", hint="give one of them")
        if outage is not None and breaker is False:
            raise ConfigError("outages cannot be told without a breaker", key="outage", hint="add breaker=True")
        check_functions(admission=admission, key=key, fallback=fallback, watch=watch, classify=classify, cache=cache)
        rng = rng or random.Random()
        policy = retry_of(retry)
        hedging = hedging_of(hedge, idempotent=idempotent)
        self.breaker = breaker_of(breaker, rng)
        self._gate = None if self.breaker is None else gate_of(self.breaker)
        self._hedge = None if hedging is None else Hedge(hedging)
        self._admission = Bulkhead(limit, clock=clock) if limit is not None else admission
        self._deadline = seconds_of("deadline", deadline)
        self._shares = share or cache is not None
        self._cache = cache
        self._fills = isinstance(cache, FillingCache)
        self._key = key
        self._fallback = fallback
        self._clock = clock
        judge = Judge(
            on=cast("tuple[type[BaseException], ...]", policy.on),
            classify=classify,
            wall=(clock or SYSTEM_CLOCK).wall,
        )
        retries = Retries(
            retry=policy, budget=budget_of(budget, policy), judge=judge, rng=rng, watch=watch, outage=outage
        )
        self._attempts = Attempts(
            retries=retries, gate=self._gate, hedge=self._hedge, timeout=seconds_of("timeout", timeout), clock=clock
        )
        self._plain = PlainCalls(
            retries=retries, gate=self._gate, deadline=self._deadline, fallback=fallback, clock=clock or SYSTEM_CLOCK
        )
        self._unfit = [
            name
            for name, asked in (
                ("timeout", timeout), ("hedge", hedging), ("limit", limit), ("admission", admission),
                ("share", share or None), ("cache", cache),
            )
            if asked is not None
        ]  # fmt: skip
        self._flights = Flights()
        self._calls = self._cached = self._shared = self._failed = self._fallbacks = 0

    def __call__(self, fn: Callable[P, T]) -> Callable[P, T]:
        """Return a function that calls ``fn`` through this guard.

        Raises:
            ConfigError: If it is no function, a generator function, or a plain one and the
                guard has layers that only work on an event loop.
        """
        if not callable(fn) or isinstance(fn, staticmethod):
            message = f"guarded() takes an async or a plain function, got {fn!r}"
            hint = "put @staticmethod or @classmethod above it" if isinstance(fn, (classmethod, staticmethod)) else None
            raise ConfigError(message, key="guarded", hint=hint)
        name = name_of(fn)
        if is_generator(fn):
            message = f"guarded() takes async and plain functions, but {name} is a generator function"
            raise ConfigError(
                message, key="guarded", hint="guard the call that begins it, or a function that collects it"
            )
        if not is_async(fn):
            return self._guard_plain(fn, name)

        @functools.wraps(fn)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
            key = key_of(fn, name, args, kwargs, self._key) if self._shares else None
            call = Call(cast("Callable[..., Coroutine[Any, Any, Any]]", fn), args, kwargs, self._admission)
            return await self._run(call, key, self._deadline)

        return cast("Callable[P, T]", guarded)

    async def call(
        self,
        fn: Callable[..., Coroutine[Any, Any, T]],
        *args: Any,
        key: Hashable = None,
        deadline: float | None = None,
        admission: Admission | None = None,
        hand_on: bool = False,
        hedged: bool = True,
        patience: float = _NEVER,
        tally: Tally | None = None,
        urgency: Urgency | None = None,
    ) -> T:
        """Call a coroutine function through this guard.

        Args:
            fn: The function.
            args: Its arguments.
            key: What makes two calls equal, as it is; by default made as for the decorator.
            deadline: Seconds for all of it, in place of the guard's.
            admission: What lets this call's tries in, in place of the guard's.
            hand_on: Whether the function is given what the admission gave for this very try,
                before its other arguments.
            hedged: Whether a second copy may be sent, if the guard sends any.
            patience: Seconds to wait for the breaker, if somebody stands in for what is called.
            tally: How often it has failed before, if it is made anew after that.
            urgency: Its class, which the admission heeds: it rises when a more urgent equal call joins it.

        Raises:
            CallTimeoutError: If it took longer than its deadline, or its last try longer than the timeout.
            CircuitOpenError: If the breaker will not admit it before its deadline.
            PassedOverError: If there is an outage that lasts longer than the patience.
            Exception: Otherwise what the function raised.
        """
        if self._shares and key is None:
            key = key_of(fn, name_of(fn), args, {}, self._key)
        seconds = self._deadline if deadline is None else seconds_of("deadline", deadline)
        call = Call(
            fn, args, {}, admission or self._admission,
            hand_on=hand_on, hedged=hedged, patience=patience, tally=tally, urgency=urgency,
        )  # fmt: skip
        return cast("T", await self._run(call, key, seconds))

    def statistics(self) -> GuardStatistics:
        """Return what it has done so far."""
        attempts, plain, gate = self._attempts, self._plain, self._gate
        return GuardStatistics(
            calls=self._calls + plain.calls,
            cached=self._cached,
            shared=self._shared,
            tries=attempts.tries + plain.tries,
            retries=attempts.retries + plain.retries,
            copies=attempts.copies,
            copies_won=0 if self._hedge is None else self._hedge.won,
            failed=self._failed + plain.failed,
            fallbacks=self._fallbacks + plain.fallbacks,
            waiting=0 if gate is None else len(gate),
            state=None if self.breaker is None else self.breaker.state,
        )

    async def _run(self, call: Call, key: Hashable, seconds: float | None) -> Any:
        self._calls += 1
        try:
            if seconds is None:
                return await self._answer(call, key)
            return await self._in_time(call, key, seconds)
        except Exception as error:
            self._failed += 1
            if self._fallback is None:
                raise
            result = self._fallback(error)
            if inspect.isawaitable(result):
                result = await result
            self._fallbacks += 1
            return result

    async def _in_time(self, call: Call, key: Hashable, seconds: float) -> Any:
        call.deadline = time_of(self._clock)() + seconds
        try:
            async with asyncio.timeout(seconds) as limit:
                return await self._answer(call, key)
        except TimeoutError as error:
            if not limit.expired():
                raise
            message = (
                f"{call.name} did not end within its deadline of {seconds:g} s: after "
                f"{tries_in_words(call.tries)} it was {call.doing}"
            )
            raise CallTimeoutError(message, call=call.name, tries=call.tries) from (call.error or error)

    def _answer(self, call: Call, key: Hashable) -> Coroutine[Any, Any, Any]:
        return self._shared_answer(call, key) if self._shares else self._attempts.run(call)

    async def _shared_answer(self, call: Call, key: Hashable) -> Any:
        if self._cache is not None:
            call.doing = "asking the cache"
            found = await self._cache.get(key)
            if found is not MISSING:
                self._cached += 1
                return found
        if self._flights.under_way(key):
            self._shared += 1
            call.doing = "waiting for an equal call that was under way"
        return await self._flights.join(key, call, self._fly)

    async def _fly(self, key: Hashable, call: Call) -> Any:
        if self._cache is None:
            return await self._attempts.run(call)
        if self._fills:
            return await cast("FillingCache", self._cache).fill(key, functools.partial(self._attempts.run, call))
        # Another flight may have landed while the cache was asked.
        found = await self._cache.get(key)
        if found is not MISSING:
            return found
        result = await self._attempts.run(call)
        call.doing = "putting the result into the cache"
        # It was paid for: from here on a cancellation comes too late to lose it.
        await unbroken(self._cache.put(key, result))
        return result

    def _guard_plain(self, fn: Callable[P, T], name: str) -> Callable[P, T]:
        if self._unfit:
            message = f"{name} is a plain function, for which guarded() has no {' and no '.join(self._unfit)}"
            hint = "a running plain function cannot be stopped or watched; make it async, or leave these out"
            raise ConfigError(message, key=self._unfit[0], hint=hint)
        plain = self._plain

        @functools.wraps(fn)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
            return plain.run(lambda: fn(*args, **kwargs), name)

        return cast("Callable[P, T]", guarded)

"""The tries of one call: Retry(Breaker(Admission(Hedge(Timeout(call))))).

1. A try begins when the breaker and the admission have let it in. Waiting for them is no
   try, and counts against nothing but the deadline.
2. If the breaker opened while the admission was waited for, what was admitted is given
   back, and the breaker is asked again: many that wait for a slot do not run, one after
   the other, into a server that died meanwhile.
3. A call that was cancelled says nothing about what it called, with one exception: without
   a ``timeout``, the deadline is the time limit of the call.
4. Cancellation is never tried again.
5. A try that finds out whether an open circuit may close costs its call nothing if it
   fails: who waits for the end of an outage has not used up its tries by then.
6. A call for which somebody stands in, or that is to try once, waits for an open circuit only as long as its
   ``patience`` lasts, and sees of an outage no more than it has tries.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, TypeAlias

from tenire.core.breaker import CLOSED, OPEN
from tenire.errors import CallTimeoutError
from tenire.resilience.failures import PassedOverError, UnmadeError
from tenire.resilience.functions import name_of
from tenire.resilience.retries import Tally
from tenire.resilience.timing import sleep_until, time_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from tenire.clock import Clock
    from tenire.core.breaker import CallPermit, Outcome
    from tenire.resilience.gate import Gate
    from tenire.resilience.hedge import Hedge
    from tenire.resilience.retries import Retries
    from tenire.resilience.urgency import Urgency

__all__ = ["Admission", "Attempts", "Call"]

Admission: TypeAlias = "Callable[[], contextlib.AbstractAsyncContextManager[Any]]"
"""Makes an async context manager that lets one try in, and holds what it needs while it is open."""

_NEVER = float("inf")
_EARLY_S = 1e-3  # by which a loop's timer may fire before its time


class Call:
    """One call on its way through a guard.

    Attributes:
        fn: The function that is called.
        args: Its arguments.
        kwargs: Those by name.
        hand_on: Whether it is given what the admission gave, before its other arguments.
        admission: What lets a try in, or ``None``.
        deadline: By when it must have ended, seconds; infinite for no limit.
        hedged: Whether a second copy may be sent.
        patience: How long it waits for its circuit to close, seconds; infinite for no limit.
        tally: How often it has failed.
        urgency: Its class, for its admission, or ``None``.
        tries: Tries that were begun.
        doing: What it is at, for people.
        error: How the last try failed.
    """

    __slots__ = (
        "admission", "args", "deadline", "doing", "error", "fn", "hand_on", "hedged", "kwargs", "patience", "tally",
        "tries", "urgency",
    )  # fmt: skip

    def __init__(
        self,
        fn: Callable[..., Coroutine[Any, Any, Any]],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        admission: Admission | None,
        deadline: float = _NEVER,
        *,
        hand_on: bool = False,
        hedged: bool = True,
        patience: float = _NEVER,
        tally: Tally | None = None,
        urgency: Urgency | None = None,
    ) -> None:
        self.fn = fn
        self.args = args
        self.kwargs = kwargs
        self.hand_on = hand_on
        self.admission = admission
        self.deadline = deadline
        self.hedged = hedged
        self.patience = patience
        self.tally = Tally() if tally is None else tally
        self.urgency = urgency
        self.tries = 0
        self.doing = "about to start"
        self.error: Exception | None = None

    def run(self, admitted: Any) -> Coroutine[Any, Any, Any]:
        """Make the call; ``admitted`` is what the admission gave."""
        return self.fn(admitted, *self.args) if self.hand_on else self.fn(*self.args, **self.kwargs)

    @property
    def name(self) -> str:
        """The name of the function, for people: most calls have no need of it."""
        return name_of(self.fn)

    @property
    def parks(self) -> bool:
        """Whether it waits out an outage; otherwise somebody stands in for what is called, or it is now or never."""
        return self.patience == _NEVER


class Attempts:
    """Makes calls, and makes them again.

    Attributes:
        tries: Tries that were begun.
        retries: Those of them that were not the first of their call.
        copies: Second copies that were sent.
    """

    __slots__ = (
        "_clock",
        "_gate",
        "_hedge",
        "_retries",
        "_timeout",
        "copies",
        "retries",
        "tries",
    )

    def __init__(
        self,
        *,
        retries: Retries,
        gate: Gate | None,
        hedge: Hedge | None,
        timeout: float | None,
        clock: Clock | None,
    ) -> None:
        self._retries = retries
        self._gate = gate
        self._hedge = hedge
        self._timeout = timeout
        self._clock = clock
        self.tries = self.retries = self.copies = 0

    async def run(self, call: Call) -> Any:
        """Return the result of the first try that succeeds; otherwise raise what the last one raised."""
        now = time_of(self._clock)
        retries = self._retries
        retries.begin()
        tally = call.tally
        while True:
            try:
                result = await self._guarded_try(call, now)
            except Exception as error:
                when = retries.after(error, tally, name=call.name, now=now(), deadline=call.deadline)
                if when is None:
                    raise
                call.error = error
                if not call.parks and retries.lasts(tally):
                    raise PassedOverError(f"{call.name} failed in an outage: {error}") from error
            else:
                call.error = None  # its traceback leads back to this call: a circle for the collector
                return result
            call.doing = "waiting for its next try"
            if call.parks or self._gate is None or self._gate.breaker.state != OPEN:
                await sleep_until(when, now)  # otherwise whoever stands in can be asked at once
            self.retries += 1

    async def _guarded_try(self, call: Call, now: Callable[[], float]) -> Any:
        gate = self._gate
        if gate is None:
            return await self._admitted_try(call, now, None)
        while True:
            began = now()
            permit = gate.enter_nowait(began)
            if permit is None:
                permit = await self._wait(gate, call, now)
                began = now()
            call.tally.begin(gate, began)
            tries = call.tries
            outcome: Outcome = "cancelled"
            try:
                result = await self._admitted_try(call, now, permit)
                outcome = "ok"
            except UnmadeError:
                continue
            except Exception as error:
                if call.tries > tries:
                    outcome = self._retries.outcome(error, call.tally, gate, now())
                raise
            except asyncio.CancelledError:
                if call.tries > tries and self._timeout is None and now() + _EARLY_S >= call.deadline:
                    outcome = "failure"
                raise
            finally:
                gate.leave(permit, now(), outcome, call.tally.began_at)
            return result

    async def _wait(self, gate: Gate, call: Call, now: Callable[[], float]) -> CallPermit:
        """Wait for a permit, as long as the call's patience lasts."""
        call.doing = "waiting for its circuit to close"
        limit = asyncio.timeout(None if call.parks else call.patience)
        try:
            if call.patience > 0:
                async with limit:
                    return await gate.enter(now, deadline=call.deadline, name=call.name)
        except TimeoutError:
            if not limit.expired():
                raise
        raise gate.passed_over(call.name, now()) from call.error

    async def _admitted_try(self, call: Call, now: Callable[[], float], permit: CallPermit | None) -> Any:
        if call.admission is None:
            return await self._hedged_try(call, now, None)
        call.doing = "waiting to be admitted"
        async with call.admission() as admitted:
            if permit is not None and self._gate is not None and not self._gate.still_open(permit):
                raise UnmadeError
            return await self._hedged_try(call, now, admitted)

    def _hedged_try(self, call: Call, now: Callable[[], float], admitted: Any) -> Coroutine[Any, Any, Any]:
        """Begin a try; what is returned makes it."""
        call.tries += 1
        self.tries += 1
        call.tally.began_at = now()  # it may have waited to be admitted
        call.doing = "waiting for the answer"
        if self._hedge is None or not call.hedged:
            return self._timed(call, admitted)
        return self._hedge.run(
            lambda: self._timed(call, admitted),
            lambda let_in: self._copy(call, let_in),
            now=now,
            allowed=self._may_copy,
        )

    def _may_copy(self) -> bool:
        # A server that is being tried out gets as many calls as it has places for.
        return self._gate is None or self._gate.breaker.state == CLOSED

    async def _copy(self, call: Call, let_in: Callable[[], None]) -> Any:
        async with contextlib.nullcontext() if call.admission is None else call.admission() as admitted:
            let_in()
            self.copies += 1
            return await self._timed(call, admitted)

    async def _timed(self, call: Call, admitted: Any) -> Any:
        if self._timeout is None:
            return await call.run(admitted)
        try:
            async with asyncio.timeout(self._timeout) as limit:
                return await call.run(admitted)
        except TimeoutError as error:
            if not limit.expired():
                raise
            message = f"{call.name} gave no answer within its timeout of {self._timeout:g} s"
            raise CallTimeoutError(message, call=call.name, tries=call.tries) from error

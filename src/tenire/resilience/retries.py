"""Whether and when a call that failed is tried again.

1. A try that only found out whether a circuit may close does not count, so that an outage
   uses up nobody's tries. But a call that can never succeed may be all that is left to find
   it out with: what may be its own fault counts after ``MOST_PROBES``.
2. Nor does, where outages are waited out, a try that failed because of one
   (``core.outages``): few calls open no circuit. Both count for who was told to try once: it
   may be that a second try must not be.
3. A call that fails again and again with what may be its own fault, while others are
   answered, says nothing of the other side: from the third time on a breaker is not told,
   or as soon as that is known. Else the few calls at the end of a run that can never
   succeed would open it.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tenire.core.breaker import HALF_OPEN
from tenire.core.outages import Blame
from tenire.core.retrying import Kind, next_try

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tenire.core.breaker import Outcome
    from tenire.core.outages import Sign
    from tenire.core.retry_budget import RetryBudget
    from tenire.core.tasks import Retry
    from tenire.resilience.failures import Failure, Judge
    from tenire.resilience.gate import Gate

__all__ = ["MOST_PROBES", "FailedTry", "Retries", "Tally", "tries_in_words"]

MOST_PROBES = 3
_OWN_THAT_COUNT = 2
_MAY_GO_BETTER = (Kind.TRANSIENT, Kind.OVERLOAD)

_LOCK = threading.RLock()
"""Around all that is asked of a budget. One for all of them: guards of several threads may share one."""

_log = logging.getLogger("tenire.resilience")


@dataclass(frozen=True, slots=True)
class FailedTry:
    """One try that failed, and what follows.

    Attributes:
        call: The function's name.
        tries: Tries so far, this one included.
        error: What it raised.
        kind: What that means, for this call.
        next_in: Seconds until the next try; ``None`` if there is none.
        reason: Why there is none, in words; ``None`` if there is one.
    """

    call: str
    tries: int
    error: Exception
    kind: Kind
    next_in: float | None
    reason: str | None


class Tally:
    """How often one call has failed.

    Attributes:
        tries: Tries that count.
        put_off: Tries that do not, since it was not their turn.
        outages: Tries that do not, since an outage made them fail.
        probes: Of these, tries of a circuit whose failure may be the call's own.
        own: Tries that failed with what may be its own fault.
        answered: Calls of others that had ended well before the first of those.
        probing: Whether the last try found out whether a circuit may close.
        sign: What the last failure says of an outage, or ``None``.
        spared: Whether an outage is to blame for it.
        blame: Tells that, also for several that are asked the same; ``None`` before the first try.
        began_at: When the last try began, seconds.
    """

    __slots__ = (
        "answered",
        "began_at",
        "blame",
        "outages",
        "own",
        "probes",
        "probing",
        "put_off",
        "sign",
        "spared",
        "tries",
    )

    def __init__(self, blame: Blame | None = None) -> None:
        self.tries = self.put_off = self.outages = self.probes = self.own = self.answered = 0
        self.probing = self.spared = False
        self.sign: Sign | None = None
        self.blame = blame
        self.began_at = 0.0

    def begin(self, gate: Gate, now: float) -> None:
        """Take in that a gate has let a try in, which begins."""
        self.probing = gate.breaker.state == HALF_OPEN
        self.began_at = now
        if self.blame is None:
            self.blame = Blame()

    def begin_anew(self) -> None:
        """Have all tries again: what made the last ones fail is over."""
        self.tries = self.put_off = self.outages = self.probes = 0


class Retries:
    """Asks the core, from any thread, and says on the exception why there is no other try.

    Args:
        retry: How often, and after which delays.
        budget: What pays for retries, or ``None``.
        judge: Says what exceptions mean.
        rng: Where the chance in delays comes from.
        watch: Is told of every try that failed, or ``None``.
        outage: Says what an exception tells of an outage; ``None`` if outages are not waited out.
    """

    __slots__ = ("_budget", "_judge", "_outage", "_retry", "_rng", "_watch")

    def __init__(
        self,
        *,
        retry: Retry,
        budget: RetryBudget | None,
        judge: Judge,
        rng: random.Random,
        watch: Callable[[FailedTry], object] | None,
        outage: Callable[[BaseException], Sign | None] | None = None,
    ) -> None:
        self._retry = retry
        self._budget = budget
        self._judge = judge
        self._rng = rng
        self._watch = watch
        self._outage = outage

    def begin(self) -> None:
        """Take in that a call begins."""
        if self._budget is not None:
            with _LOCK:
                self._budget.earn()

    def outcome(self, error: BaseException, tally: Tally, gate: Gate, now: float) -> Outcome:
        """Return what an exception says to a breaker.

        Args:
            error: The exception.
            tally: Of the call.
            gate: What let the try in.
            now: Seconds.
        """
        failure, answered, blame = self._judge(error), gate.answered, tally.blame
        tally.sign = sign = None if self._outage is None else self._outage(error)
        tally.spared = (
            sign is not None
            and blame is not None
            and not blame.is_the_call_s(
                sign, now, began=tally.began_at, well_at=gate.well_at, answered_at=gate.answered_at
            )
        )
        if not failure.may_be_the_call:
            return failure.outcome
        if sign is not None and blame is not None and blame.settled:
            return "cancelled"
        tally.own += 1
        if tally.own == 1:
            tally.answered = answered
        elif tally.own > _OWN_THAT_COUNT and answered > tally.answered:
            return "cancelled"
        return failure.outcome

    def after(self, error: Exception, tally: Tally, *, name: str, now: float, deadline: float) -> float | None:
        """Return when to try again, seconds, or ``None``.

        Args:
            error: How the last try failed.
            tally: Of the call; the last try is added to it.
            name: Of the function.
            now: Seconds.
            deadline: When the call must have ended, seconds; infinite for no limit.
        """
        failure = self._judge(error)
        kind = self._kind(failure, tally)
        tally.tries += kind not in (Kind.OUTAGE, Kind.UNCOUNTED)
        tally.put_off += kind is Kind.UNCOUNTED
        tally.outages += kind is Kind.OUTAGE
        tries = tally.tries
        with _LOCK:
            when = next_try(
                kind,
                tries,
                now,
                retry=self._retry,
                budget=self._budget,
                deadline=deadline,
                not_before=now + failure.retry_after,
                rng=self._rng,
                uncounted=tally.outages if kind is Kind.OUTAGE else tally.put_off,
            )
        reason = when if isinstance(when, str) else None
        at = None if isinstance(when, str) else when
        if self._watch is not None:
            try:
                self._watch(FailedTry(name, tries, error, kind, None if at is None else at - now, reason))
            except Exception:  # noqa: BLE001 - foreign code; logged, and the call goes on as if nobody watched
                _log.exception("the watch of %s failed", name)
        if at is not None:
            return at
        every = tries + tally.put_off + tally.outages
        if self._retry.attempts > 1 and (every > 1 or failure.kind in _MAY_GO_BETTER):
            _note(error, f"tenire: {name} was given up after {tries_in_words(every)}: {when}")
        return None

    def lasts(self, tally: Tally) -> bool:
        """Return whether a call has seen so much of an outage that another one had better be asked."""
        return tally.spared and tally.outages >= self._retry.attempts

    def _kind(self, failure: Failure, tally: Tally) -> Kind:
        """Return what a failure means for a call."""
        if failure.kind not in _MAY_GO_BETTER or self._retry.attempts == 1:
            return failure.kind
        if tally.probing and (tally.probes < MOST_PROBES or not failure.may_be_the_call):
            tally.probes += failure.may_be_the_call
            return Kind.UNCOUNTED if tally.sign is None else Kind.OUTAGE
        return Kind.OUTAGE if tally.spared else failure.kind


def tries_in_words(number: int) -> str:
    """Return ``1 try``, ``2 tries`` and so on."""
    return f"{number} {'try' if number == 1 else 'tries'}"


def _note(error: Exception, note: str) -> None:
    # Several callers may get the same exception.
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)

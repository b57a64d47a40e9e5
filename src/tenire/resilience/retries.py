"""Whether and when a call that failed is tried again.

1. A try that only found out whether a circuit may close does not count, so that an outage
   uses up nobody's tries. But a call that can never succeed may be all that is left to find
   it out with: what may be its own fault counts after ``MOST_PROBES``.
2. A call that fails again and again with what may be its own fault, while others are
   answered, says nothing of the other side: from the third time on a breaker is not told.
   Else the few calls at the end of a run that can never succeed would open it.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tenire.core.retrying import Kind, next_try

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tenire.core.breaker import Outcome
    from tenire.core.retry_budget import RetryBudget
    from tenire.core.tasks import Retry
    from tenire.resilience.failures import Judge

__all__ = ["MOST_PROBES", "FailedTry", "Retries", "Tally", "tries_in_words"]

MOST_PROBES = 3
_OWN_THAT_COUNT = 2
_MAY_GO_BETTER = (Kind.TRANSIENT, Kind.OVERLOAD)

_log = logging.getLogger("tenire.resilience")


@dataclass(frozen=True, slots=True)
class FailedTry:
    """One try that failed, and what follows.

    Attributes:
        call: The function's name.
        tries: Tries so far, this one included.
        error: What it raised.
        kind: What that means.
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
        uncounted: Tries that do not.
        probes: Of these, tries of a circuit whose failure may be the call's own.
        own: Tries that failed with what may be its own fault.
        answered: Calls of others that had ended well before the first of those.
        probing: Whether the last try found out whether a circuit may close.
    """

    __slots__ = ("answered", "own", "probes", "probing", "tries", "uncounted")

    def __init__(self) -> None:
        self.tries = self.uncounted = self.probes = self.own = self.answered = 0
        self.probing = False


class Retries:
    """Asks the core, from any thread, and says on the exception why there is no other try.

    Args:
        retry: How often, and after which delays.
        budget: What pays for retries, or ``None``.
        judge: Says what exceptions mean.
        rng: Where the chance in delays comes from.
        watch: Is told of every try that failed, or ``None``.
    """

    __slots__ = ("_budget", "_judge", "_lock", "_retry", "_rng", "_watch")

    def __init__(
        self,
        *,
        retry: Retry,
        budget: RetryBudget | None,
        judge: Judge,
        rng: random.Random,
        watch: Callable[[FailedTry], object] | None,
    ) -> None:
        self._retry = retry
        self._budget = budget
        self._judge = judge
        self._rng = rng
        self._watch = watch
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Take in that a call begins."""
        if self._budget is not None:
            with self._lock:
                self._budget.earn()

    def outcome(self, error: BaseException, tally: Tally, answered: int) -> Outcome:
        """Return what an exception says to a breaker.

        Args:
            error: The exception.
            tally: Of the call.
            answered: Calls of others that have ended well so far.
        """
        failure = self._judge(error)
        if not failure.may_be_the_call:
            return failure.outcome
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
        kind = failure.kind
        if tally.probing and kind in _MAY_GO_BETTER and (tally.probes < MOST_PROBES or not failure.may_be_the_call):
            kind = Kind.UNCOUNTED
            tally.probes += failure.may_be_the_call
        if kind is Kind.UNCOUNTED:
            tally.uncounted += 1
        else:
            tally.tries += 1
        tries = tally.tries
        with self._lock:
            when = next_try(
                kind,
                tries,
                now,
                retry=self._retry,
                budget=self._budget,
                deadline=deadline,
                not_before=now + failure.retry_after,
                rng=self._rng,
                uncounted=tally.uncounted,
            )
        reason = when if isinstance(when, str) else None
        at = None if isinstance(when, str) else when
        if self._watch is not None:
            try:
                self._watch(FailedTry(name, tries, error, failure.kind, None if at is None else at - now, reason))
            except Exception:  # noqa: BLE001 - foreign code; logged, and the call goes on as if nobody watched
                _log.exception("the watch of %s failed", name)
        if at is not None:
            return at
        every = tries + tally.uncounted
        if self._retry.attempts > 1 and (every > 1 or failure.kind in _MAY_GO_BETTER):
            _note(error, f"tenire: {name} was given up after {tries_in_words(every)}: {when}")
        return None


def tries_in_words(number: int) -> str:
    """Return ``1 try``, ``2 tries`` and so on."""
    return f"{number} {'try' if number == 1 else 'tries'}"


def _note(error: Exception, note: str) -> None:
    # Several callers may get the same exception.
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)

"""Whether and when a call that failed is tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.core.retrying import Kind, next_try

if TYPE_CHECKING:
    import random

    from tenire.core.breaker import Outcome
    from tenire.core.retry_budget import RetryBudget
    from tenire.core.tasks import Retry
    from tenire.resilience.failures import Judge

__all__ = ["Retries", "tries_in_words"]


class Retries:
    """Asks the core, and says on the exception why there is no other try.

    Args:
        retry: How often, and after which delays.
        budget: What pays for retries, or ``None``.
        judge: Says what exceptions mean.
        rng: Where the chance in delays comes from.
    """

    __slots__ = ("_budget", "_judge", "_retry", "_rng")

    def __init__(self, *, retry: Retry, budget: RetryBudget | None, judge: Judge, rng: random.Random) -> None:
        self._retry = retry
        self._budget = budget
        self._judge = judge
        self._rng = rng

    def begin(self) -> None:
        """Take in that a call begins."""
        if self._budget is not None:
            self._budget.earn()

    def outcome(self, error: BaseException) -> Outcome:
        """Return what an exception says to a breaker."""
        return self._judge(error).outcome

    def after(self, error: Exception, *, name: str, tries: int, now: float, deadline: float) -> float | None:
        """Return when to try again, seconds, or ``None``.

        Args:
            error: How the last try failed.
            name: Of the function.
            tries: Tries so far.
            now: Seconds.
            deadline: When the call must have ended, seconds; infinite for no limit.
        """
        failure = self._judge(error)
        when = next_try(
            failure.kind,
            tries,
            now,
            retry=self._retry,
            budget=self._budget,
            deadline=deadline,
            not_before=now + failure.retry_after,
            rng=self._rng,
        )
        if not isinstance(when, str):
            return when
        if self._retry.attempts > 1 and (tries > 1 or failure.kind in (Kind.TRANSIENT, Kind.OVERLOAD)):
            _note(error, f"tenire: {name} was given up after {tries_in_words(tries)}: {when}")
        return None


def tries_in_words(number: int) -> str:
    """Return ``1 try``, ``2 tries`` and so on."""
    return f"{number} {'try' if number == 1 else 'tries'}"


def _note(error: Exception, note: str) -> None:
    # Several callers may get the same exception.
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)

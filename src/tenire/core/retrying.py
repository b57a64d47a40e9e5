"""Whether a call that failed is tried again, and when.

1. Only what may go better is tried again: ``TRANSIENT`` and ``OVERLOAD``. What is
   ``PERMANENT`` or ``POISON`` would fail in the same way.
2. At most ``attempts`` tries, and never one that begins at the deadline or after it.
3. Each retry is paid out of the budget. It is asked last: one that is not made for
   another reason costs nothing.
4. A next try comes after a delay by chance (``backoff``), and never before the server
   said that it may (``not_before``).
5. After what is ``UNCOUNTED`` or ``OUTAGE`` there is another try, which is not counted and
   paid for by nobody: of the former no more than ``MOST_UNCOUNTED``, of the latter for as
   long as the outage lasts.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from tenire.core.backoff import full_jitter

if TYPE_CHECKING:
    import random

    from tenire.core.retry_budget import RetryBudget
    from tenire.core.tasks import Retry

__all__ = ["MOST_UNCOUNTED", "Kind", "next_try"]

MOST_UNCOUNTED = 100


class Kind(Enum):
    """What a failure says about the next try."""

    TRANSIENT = "transient"
    """The other side, or the way to it, failed: another try may succeed."""
    OVERLOAD = "overload"
    """Refused for the moment: another try may succeed, later."""
    UNCOUNTED = "uncounted"
    """Not done, though all is well: it was not its turn. Another try may succeed, and does not count."""
    OUTAGE = "outage"
    """What is called is down, for whoever calls it: another try may succeed once it is back, and does not count."""
    PERMANENT = "permanent"
    """The same call will always fail."""
    POISON = "poison"
    """The input destroys whoever works on it."""


def next_try(
    kind: Kind,
    tries: int,
    now: float,
    *,
    retry: Retry,
    budget: RetryBudget | None,
    deadline: float,
    not_before: float,
    rng: random.Random,
    uncounted: int = 0,
) -> float | str:
    """Return when to try again, or why not to.

    Args:
        kind: Of the failure.
        tries: Tries so far that count.
        now: Seconds.
        retry: How often, and after which delays.
        budget: What pays for the retry; it is charged if there is one.
        deadline: When the call must have ended, seconds; infinite for no limit.
        not_before: What the server said, seconds; minus infinity if it said nothing.
        rng: Where the chance comes from.
        uncounted: Tries so far that do not count for the same reason.

    Returns:
        The time in seconds, or the reason in words.
    """
    if kind in (Kind.PERMANENT, Kind.POISON):
        return f"the failure is {kind.value}"
    counts = kind not in (Kind.UNCOUNTED, Kind.OUTAGE)
    if counts and tries >= retry.attempts:
        return f"all {retry.attempts} tries are used up"
    if kind is Kind.UNCOUNTED and uncounted > MOST_UNCOUNTED:
        return f"it was put off {uncounted} times"
    past = tries if counts else uncounted
    when = max(now + full_jitter(past, base=retry.backoff, cap=retry.max_delay, rng=rng), not_before)
    if when >= deadline:
        return "the next try would come after the deadline"
    if counts and budget is not None and not budget.spend():
        return "the retry budget is used up"
    return when

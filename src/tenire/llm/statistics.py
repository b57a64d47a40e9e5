"""What a client has done, and what prompts will take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenire.concurrency.quotas import QuotaStatistics

__all__ = ["ChatStatistics", "Estimate"]


@dataclass(frozen=True, slots=True)
class ChatStatistics:
    """What a client has done so far.

    Attributes:
        calls: Requests that were sent to the provider.
        cached_calls: Prompts and texts that were answered without a request of their own.
        retries: Tries that were not the first of their call.
        waiting: Calls that wait for the provider to come back.
        breaker: ``closed``, ``open`` (it is down) or ``half_open`` (it is being tried).
        input_tokens: Of prompts, as the provider counted them.
        cached_tokens: Of these, those that the provider had cached.
        output_tokens: Of replies, reasoning included.
        reasoning_tokens: Of these, those that nobody sees.
        cost_usd: US dollars; calls of models whose price is not known cost nothing here.
        guessed_usd: Of these, what nobody has confirmed, since the calls broke off.
        quota: How much of the quota is used, and how many calls wait for it.
    """

    calls: int
    cached_calls: int
    retries: int
    waiting: int
    breaker: str
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost_usd: float
    guessed_usd: float
    quota: QuotaStatistics


@dataclass(frozen=True, slots=True)
class Estimate:
    """What prompts will take, at the most; an estimate that errs high.

    Attributes:
        prompts: All that there are.
        calls: Those of them that are not answered by what is kept, equal ones counted once.
        input_tokens: Of these.
        output_tokens: Of their replies.
        cost_usd: US dollars, whichever model answers; ``None`` if the price of one is not known.
        needed_usd: The ``budget_usd`` that it takes, what was spent by now included, asked one by one or in
            batches: with a smaller one the last calls can be refused. ``None`` where ``cost_usd`` is.
    """

    prompts: int
    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    needed_usd: float | None = None

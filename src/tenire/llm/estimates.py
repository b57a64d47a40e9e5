"""What prompts will take, told before anything is sent.

A budget has to hold more than they cost: a quarter more for each prompt is set aside while its call is under way
(``guesses``). It comes back with the reply, so of calls that are made one by one only the last one lacks it; a batch
holds it for all of its lines, at its own price.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tenire.llm.guesses import most_cost, most_held
from tenire.llm.money import to_usd
from tenire.llm.requests import request_key
from tenire.llm.statistics import Estimate

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Sequence

    from tenire.llm.passage import Account
    from tenire.llm.records import ChatRequest
    from tenire.llm.session import Session

__all__ = ["estimate"]

_AT_ONCE = 500


async def estimate(
    session: Session, requests: AsyncIterable[ChatRequest], accounts: Sequence[Account], *, keep: bool
) -> Estimate:
    """Add up what requests will take, each request once.

    Args:
        session: Of the client.
        requests: The requests.
        accounts: Of the model, and of those that may answer in its place.
        keep: Whether what is kept answers them.
    """
    prices = [account.price for account in accounts]
    own = prices[0]
    in_batch = [None if own is None else own.in_batch()]
    cost = together = aside = 0
    prompts = calls = input_tokens = output_tokens = 0
    seen: set[bytes] = set()
    batch: dict[bytes, ChatRequest] = {}

    async def take_in() -> None:
        nonlocal calls, input_tokens, output_tokens, cost, together, aside
        known = await session.store.known(list(batch), session.fresh_since) if keep else set()
        for key, request in batch.items():
            if key not in known:
                needed = [one.counter.estimate(replace(request, model=one.model)) for one in accounts]
                calls += 1
                input_tokens += needed[0].input_tokens
                output_tokens += needed[0].most_output
                most = most_cost(needed, prices) or 0
                cost += most
                # Nobody has said yet which of them go in batches: what takes more counts.
                together += max(most, most_held(needed[:1], in_batch))
                aside = max(aside, most_held(needed, prices) - most)
        batch.clear()

    async for request in requests:
        prompts += 1
        key = request_key(session.service, request) if keep else prompts.to_bytes(8, "big")
        if key not in seen:
            seen.add(key)
            batch[key] = request
        if len(batch) == _AT_ONCE:
            await take_in()
    await take_in()
    told = Estimate(prompts, calls, input_tokens, output_tokens, None)
    if None in prices:
        return told
    return replace(told, cost_usd=to_usd(cost), needed_usd=await _spent_usd(session) + to_usd(together + aside))


async def _spent_usd(session: Session) -> float:
    """Return what a budget of the client counts as spent by now."""
    log = session.books.log
    return session.books.purse.spent_usd if log is None else to_usd((await log.total()).cost)

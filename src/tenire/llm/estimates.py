"""What prompts will take, told before anything is sent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tenire.llm.guesses import most_cost
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
    cost = 0
    prompts = calls = input_tokens = output_tokens = 0
    seen: set[bytes] = set()
    batch: dict[bytes, ChatRequest] = {}

    async def take_in() -> None:
        nonlocal calls, input_tokens, output_tokens, cost
        known = await session.store.known(list(batch), session.fresh_since) if keep else set()
        for key, request in batch.items():
            if key not in known:
                needed = [one.counter.estimate(replace(request, model=one.model)) for one in accounts]
                calls += 1
                input_tokens += needed[0].input_tokens
                output_tokens += needed[0].most_output
                cost += most_cost(needed, prices) or 0
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
    return Estimate(prompts, calls, input_tokens, output_tokens, None if None in prices else to_usd(cost))

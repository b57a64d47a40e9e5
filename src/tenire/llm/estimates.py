"""What prompts will take, told before anything is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.llm.money import to_usd
from tenire.llm.requests import request_key
from tenire.llm.statistics import Estimate

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    from tenire.llm.records import ChatRequest
    from tenire.llm.session import Session

__all__ = ["estimate"]

_AT_ONCE = 500


async def estimate(session: Session, requests: AsyncIterable[ChatRequest], *, keep: bool) -> Estimate:
    """Add up what requests will take, each request once.

    Args:
        session: Of the client.
        requests: The requests.
        keep: Whether what is kept answers them.
    """
    account = session.endpoints[0].account
    prompts = calls = input_tokens = output_tokens = 0
    seen: set[bytes] = set()
    batch: dict[bytes, ChatRequest] = {}

    async def take_in() -> None:
        nonlocal calls, input_tokens, output_tokens
        known = await session.store.known(list(batch), session.fresh_since) if keep else set()
        for key, request in batch.items():
            if key not in known:
                needed = account.counter.estimate(request)
                calls += 1
                input_tokens += needed.input_tokens
                output_tokens += needed.most_output
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
    cost = None if account.price is None else to_usd(account.price.most(input_tokens, output_tokens))
    return Estimate(prompts, calls, input_tokens, output_tokens, cost)

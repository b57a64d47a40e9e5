"""Programs that ask in batches, one after the other, on one home."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tenire.llm.client import ChatClient
from tenire.llm.money import Price
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger

from .fake_provider import FakeTransport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tenire.llm.replies import Reply

    from .fake_provider import ServerOfBatches

__all__ = ["PROMPTS", "batch", "spent", "talk"]

PROMPTS = [f"Prompt {number}" for number in range(10)]
MODEL = "gpt-4o-mini"
PRICE = Price(1.0, 2.0)


def talk(
    server: ServerOfBatches, home: Path | None, job: Callable[[ChatClient], Awaitable[Any]], **options: Any
) -> Any:
    """Do one job as a program of its own."""

    async def main() -> Any:
        given = {"price": PRICE, "max_output_tokens": 20, "retry": 1, **options}
        async with (
            asyncio.timeout(30),
            ChatClient(MODEL, transport=FakeTransport(server), home=home, **given) as client,
        ):
            outcome = await job(client)
            assert client.books.purse.held_usd == 0
            return outcome

    return asyncio.run(main())


def batch(server: ServerOfBatches, home: Path, prompts: list[str], **options: Any) -> list[Reply]:
    """Return the replies to prompts, in order."""
    own = {name: options.pop(name) for name in ("budget_usd", "fallback", "price", "pipeline") if name in options}

    async def job(client: ChatClient) -> list[Reply]:
        return sorted([reply async for reply in client.batch(prompts, **options)], key=lambda reply: reply.index)

    found: list[Reply] = talk(server, home, job, **own)
    assert [reply.index for reply in found] == list(range(len(prompts)))
    return found


def spent(home: Path) -> tuple[int, int, int]:
    """Return calls and picodollars that the home knows of, and batches that have not ended."""
    with Ledger.read(Home(home)) as ledger:
        total = ledger.spending.total()
        return total.calls, total.cost, len(ledger.provider_batches.known())

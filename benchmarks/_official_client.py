"""Rows through the official client with a semaphore; runs where only that client is installed."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from openai import AsyncOpenAI  # type: ignore[import-not-found]

_WORDS = "Every call inside the quota and never paid twice is what this text is asking for. "


def prompt_of(number: int, tokens: int) -> str:
    """Return the same prompt as the other side has; its own modules are not here."""
    size = (tokens - 4) * 4
    return (f"{number}: " + _WORDS * (size // len(_WORDS) + 1))[:size]


async def main(asked: dict[str, Any]) -> float:
    """Return rows a second."""
    client = AsyncOpenAI(base_url=asked["base_url"], api_key=asked["key"], max_retries=0)
    free = asyncio.Semaphore(asked["at_once"])

    async def ask(number: int) -> str:
        async with free:
            reply = await client.chat.completions.create(
                model=asked["model"],
                messages=[{"role": "user", "content": prompt_of(number, 100)}],
                max_completion_tokens=20,
            )
        return str(reply.choices[0].message.content)

    async with client:
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(asked["first"], asked["first"] + asked["rows"]):
                group.create_task(ask(number))
        return float(asked["rows"]) / (time.perf_counter() - started)


if __name__ == "__main__":
    print(asyncio.run(main(json.loads(sys.argv[sys.argv.index("--client") + 1]))))

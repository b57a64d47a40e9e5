"""Whatever bytes come over the wire: a reply, or a ``ModelError``, and nothing left behind."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from tenire.errors import ModelError
from tenire.llm.records import ChatRequest
from tenire.llm.transport import HttpTransport, Timeouts

from .servers import CHAT, answer, serving
from .test_streaming import GOOD, chunked

REQUEST = ChatRequest("small", ({"role": "user", "content": "hi"},), 80)
WHOLE = answer(CHAT, headers={"Content-Type": "application/json", "x-ratelimit-reset-tokens": "6m0s"})
PACKED = answer(CHAT, headers={"Content-Encoding": "gzip"})
STREAM = chunked(GOOD)
ALPHABET = b'\r\n :0129{}[]"\x00\xffaZ;,'


def spoilt(raw: bytes, chance: random.Random) -> bytes:
    """Change, leave out, double or add a few bytes, or cut the end off."""
    spoiling = bytearray(raw)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(spoiling))
        way = chance.randrange(5)
        if way == 0:
            spoiling[place] = chance.choice(ALPHABET)
        elif way == 1:
            del spoiling[place : place + chance.randint(1, 20)]
        elif way == 2:
            spoiling[place:place] = bytes([chance.choice(ALPHABET)])
        elif way == 3:
            spoiling[place:place] = spoiling[place : place + 30]
        elif place > 20:
            del spoiling[place:]
    return bytes(spoiling)


@pytest.mark.parametrize("raw", [WHOLE, PACKED, STREAM], ids=["whole", "packed", "stream"])
def test_no_answer_is_too_strange(raw: bytes) -> None:
    chance = random.Random(5)

    async def outcome(transport: HttpTransport, number: int) -> Any:
        try:
            if number % 2:
                return [part async for part in transport.stream(REQUEST)]
            return await transport.complete(REQUEST)
        except ModelError as error:
            return error

    async def main() -> list[Any]:
        outcomes = []
        async with serving(*(spoilt(raw, chance) for _ in range(150))) as server:
            for number in range(150):
                transport = HttpTransport(server.url, timeouts=Timeouts(total=0.5))
                outcomes.append(await outcome(transport, number))
                await transport.close()
        return outcomes

    outcomes = asyncio.run(main())
    failed = [found for found in outcomes if isinstance(found, ModelError)]
    assert len(outcomes) == 150
    assert len(failed) > 30
    assert all(error.__context__ is None for error in failed)

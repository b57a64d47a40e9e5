"""What the transport costs: microseconds of processor time that a call takes over bare aiohttp.

Both send the same request to the same server over one connection that is kept, turn by
turn; ``over_bare_us`` is the median of the differences of neighbouring rounds. The server
is a process of its own, which counts strictly, in one of three ways after the other.
``estimate_and_learn`` is what counting the tokens adds to a call.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from typing import TYPE_CHECKING

import aiohttp
from _common import report, spread
from _models import ENFORCEMENTS, described

from tenire.llm.records import ChatRequest, Usage
from tenire.llm.tokens import TokenCounter
from tenire.llm.transport import HttpTransport
from tenire.testing.fake_model_server import FakeModelProcess

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ROUNDS = 40
CALLS = 100
BUDGET_US = 60.0
KEY = "sk-benchmark-0123456789"
LIMITS = {"rpm": 10_000_000, "tpm": 2_000_000_000}
REQUEST = ChatRequest("small", ({"role": "user", "content": "Say hello to the world. " * 30},), 80)
BODY = {"model": "small", "messages": list(REQUEST.messages), "max_tokens": 80}


async def cost(call: Callable[[], Awaitable[object]]) -> float:
    """Return microseconds of processor time for one call, the mean of many."""
    started = time.process_time()
    for _ in range(CALLS):
        await call()
    return (time.process_time() - started) / CALLS * 1e6


async def measure(server: FakeModelProcess) -> None:
    address = f"{server.base_url}/chat/completions"
    transport = HttpTransport(server.base_url, api_key=KEY)
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as session:

        async def bare() -> object:
            async with session.post(address, json=BODY) as answer:
                return json.loads(await answer.read())["choices"][0]["message"]["content"]

        async def ours() -> object:
            return (await transport.complete(REQUEST)).text

        assert await bare() == await ours()
        pairs = [(await cost(bare), await cost(ours)) for _ in range(ROUNDS)]
    await transport.close()
    over = statistics.median(with_us - without for without, with_us in pairs)
    report("transport", bare_us=spread([pair[0] for pair in pairs]), ours_us=spread([pair[1] for pair in pairs]))
    report("transport", **described(server), over_bare_us=round(over, 1), budget_us=BUDGET_US, met=over <= BUDGET_US)


def count_tokens() -> None:
    counter = TokenCounter()
    times = []
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(10 * CALLS):
            counter.learn(counter.estimate(REQUEST), Usage(190, 80))
        times.append((time.process_time() - started) / CALLS / 10 * 1e6)
    report("transport", estimate_and_learn_us=spread(times))


def main() -> None:
    for enforcement in ENFORCEMENTS:
        with FakeModelProcess(enforcement=enforcement, **LIMITS) as server:
            asyncio.run(measure(server))
    count_tokens()


if __name__ == "__main__":
    main()

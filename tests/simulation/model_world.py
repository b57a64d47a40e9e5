"""The real client and the test server's mind, in virtual time and without a network.

The way there takes ``way`` seconds and up to ``jitter`` more. What others use of the key is
taken from the server's meters.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import msgspec

from tenire import ConcurrencyManager
from tenire.llm import ChatClient
from tenire.llm.failures import refusal
from tenire.llm.rate_headers import rate_report
from tenire.llm.transport import HttpTransport
from tenire.testing.fake_model_server.openai import CHAT
from tenire.testing.fake_model_server.provider import Provider
from tenire.testing.fake_model_server.settings import ServerSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tenire.concurrency.quotas import QuotaStatistics
    from tenire.llm.records import ChatRequest, ModelReply
    from tenire.testing import SimLoop

__all__ = ["ModelWorld"]


class _Way(HttpTransport):
    def __init__(self, world: ModelWorld) -> None:
        super().__init__("http://model.test/v1", api_key="sk-test-0123456789")
        self._world = world

    async def complete(self, request: ChatRequest) -> ModelReply:
        world, provider = self._world, self._world.provider
        await asyncio.sleep(world.way + world.chance.random() * world.jitter)
        plan = provider.arrive(CHAT, msgspec.json.encode(self.dialect.chat(request)), None, world.now())
        await asyncio.sleep(plan.seconds)
        response = provider.respond(plan, world.now())
        provider.ended(plan, world.now())
        headers = world.heard(dict(line.split(": ", 1) for line in response.headers.decode().splitlines()))
        if response.status != 200:
            raise refusal(self.call_of("a reply", "/chat/completions"), response.status, headers, response.body)
        return self.dialect.reply(response.body, rate_report(headers))


class ModelWorld:
    """A server, and a client that always has more to ask.

    Args:
        tpm: The server's limit, and the client's.
        words: Of a prompt; of several numbers each prompt has one by chance.
        most: Output tokens that each call asks for; ``None``: it does not say.
        client: Further arguments of the client.
        server: Settings of the server.
    """

    def __init__(
        self, *, tpm: int = 60_000, words: int | Sequence[int] = 120, most: int | None = 500, way: float = 0.02,
        jitter: float = 0.3, calls_at_once: int = 64, seed: int = 0, client: dict[str, Any] | None = None,
        **server: Any,
    ) -> None:  # fmt: skip
        self.way, self.jitter, self.most = way, jitter, most
        self.words = (words,) if isinstance(words, int) else tuple(words)
        self.tpm, self.at_once = tpm, calls_at_once
        self.chance = random.Random(seed)
        settings = {"latency": 0.5, "output_tokens": (60, 180), "records": 100_000, "seed": seed, **server}
        self.provider = Provider(ServerSettings.of(tpm=tpm, **settings), lambda: 1_700_000_000.0)
        self.client = client or {}
        self.now: Callable[[], float] = lambda: 0.0
        self.heard: Callable[[dict[str, str]], dict[str, str]] = lambda headers: headers
        self.real_at: float | None = None
        self.events: list[tuple[float, Callable[[float], object]]] = []

    def run(self, loop: SimLoop, seconds: float) -> QuotaStatistics:
        """Ask for so long; return what the client's quota says then."""
        return loop.run_until_complete(self._run(loop, seconds))

    async def _run(self, loop: SimLoop, seconds: float) -> QuotaStatistics:
        self.now = loop.time
        async with (
            ConcurrencyManager(cpu=1, memory=1 << 26, seed=0, clock=loop.clock) as manager,
            ChatClient(
                "m", transport=_Way(self), tpm=self.tpm, max_concurrency=self.at_once, cache=False, retry=1,
                manager=manager, max_output_tokens=self.most, **self.client,
            ) as client,
        ):  # fmt: skip
            began = loop.time()
            number = 0

            async def ask() -> None:
                nonlocal number
                while loop.time() < began + seconds:
                    number += 1
                    prompt = " ".join(
                        str(self.chance.randrange(100, 999)) for _ in range(self.chance.choice(self.words))
                    )
                    prompt += f" {number}"
                    try:
                        await client.complete(prompt)
                    except Exception as error:
                        if getattr(error, "status", None) != 429:
                            raise
                    if self.real_at is None and client.statistics().quota.real_output:
                        self.real_at = loop.time() - began

            async def happen(at: float, what: Callable[[float], object]) -> None:
                await asyncio.sleep(at)
                what(loop.time())

            async with asyncio.TaskGroup() as group:
                work = [group.create_task(happen(*event)) for event in self.events]
                work += [group.create_task(ask()) for _ in range(self.at_once + 16)]
                await asyncio.sleep(seconds)
                said = client.statistics().quota
                for one in work:
                    one.cancel()
            return said

    def others_take(self, tokens: int, now: float) -> None:
        """Have somebody else use the key."""
        meter = self.provider.quotas.meters["tokens"]
        if meter.ready_at(tokens, now) <= now:
            meter.take(tokens, now)

    def refused(self, after: float = 0.0) -> int:
        """Return how many calls were refused."""
        return sum(one.outcome == "refused" and one.at >= after for one in self.provider.log.records)

    def used(self, start: float, end: float) -> float:
        """Return the part of the limit that was used between two times."""
        tokens = sum(
            one.input_tokens + one.output_tokens
            for one in self.provider.log.records
            if one.admitted and start <= one.at < end
        )
        return tokens / (self.tpm * (end - start) / 60.0)

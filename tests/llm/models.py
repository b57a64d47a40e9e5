"""A provider that answers as it is told, without a network, and an engine in virtual time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tenire import ConcurrencyManager
from tenire.errors import AuthenticationError, RateLimitedError, ServerError
from tenire.llm.client import ChatClient
from tenire.llm.records import EmbeddingReply, ModelReply, StreamPart, Usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from tenire.llm.records import ChatRequest
    from tenire.testing import SimLoop

__all__ = ["Model", "busy", "down", "simulate", "unreachable", "wrong_key"]

MODEL = "gpt-4o-mini"


class Model:
    """A transport: fails so often, then answers; takes so many seconds each time.

    Attributes:
        requests: Those that came.
        texts: Texts to embed that came.
        most: The most calls that were under way at a time.
        answer: Makes the text of a reply.
    """

    def __init__(
        self, *failures: Exception, seconds: float = 1.0, answer: Callable[[str], str] = "re: {}".format
    ) -> None:
        self.failures = list(failures)
        self.seconds = seconds
        self.answer = answer
        self.usage: Usage | None = Usage(10, 5)
        self.requests: list[ChatRequest] = []
        self.texts: list[list[str]] = []
        self.times: list[float] = []
        self.inside = self.most = 0
        self.closed = False

    async def complete(self, request: ChatRequest) -> ModelReply:
        self.requests.append(request)
        await self._take()
        text = self.answer(str(request.messages[-1]["content"]))
        return ModelReply(text, "stop", self.usage, request.model, f"id {len(self.requests)}")

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamPart]:
        reply = await self.complete(request)
        for word in reply.text.split(" "):
            yield StreamPart(f"{word} ")
            await self._take()
        yield StreamPart("", reply)

    async def embed(self, model: str, texts: Sequence[str], *, dimensions: int | None = None) -> EmbeddingReply:
        self.texts.append(list(texts))
        await self._take()
        vectors = tuple([float(len(text)), 1.0][:dimensions] for text in texts)
        return EmbeddingReply(vectors, Usage(10 * len(texts), 0), model)

    async def close(self) -> None:
        self.closed = True

    async def _take(self) -> None:
        self.times.append(asyncio.get_running_loop().time())
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await asyncio.sleep(self.seconds)
            if self.failures:
                raise self.failures.pop(0)
        finally:
            self.inside -= 1


def simulate(loop: SimLoop, scenario: Callable[[ChatClient], Awaitable[Any]], model: Model, **options: Any) -> Any:
    """Run a scenario with a client in virtual time; nothing is held afterwards."""

    async def main() -> Any:
        async with ConcurrencyManager(cpu=2, memory=100, seed=0, clock=loop.clock) as manager:
            given = {"max_concurrency": 8, "manager": manager, "transport": model, **options}
            async with ChatClient(MODEL, **given) as client:
                outcome = await scenario(client)
                assert client.books.purse.held_usd == 0
            assert not manager.orchestrator.permits
        assert model.closed
        assert model.inside == 0
        return outcome

    return loop.run_until_complete(main())


def down(number: int = 1) -> list[Exception]:
    return [ServerError("no connection") for _ in range(number)]


def unreachable(number: int = 1) -> list[Exception]:
    return [ServerError("nobody is there", code="connect") for _ in range(number)]


def busy(number: int = 1, retry_after: float | None = 2.0) -> list[Exception]:
    return [RateLimitedError("too many", status=429, retry_after=retry_after) for _ in range(number)]


def wrong_key() -> Exception:
    return AuthenticationError("wrong key", status=401)

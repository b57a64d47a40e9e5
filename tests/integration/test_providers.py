"""The transport against a server that speaks what providers speak."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tenire.errors import (
    AuthenticationError,
    BrokenReplyError,
    ContextLengthError,
    ModelError,
    RateLimitedError,
    ServerError,
    UnknownModelError,
)
from tenire.llm.records import ChatRequest
from tenire.llm.transport import HttpTransport, Timeouts
from tenire.testing import FakeModelServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PROMPT = "Describe the habits of the purple llama in a few words"


def request(**more: Any) -> ChatRequest:
    return ChatRequest("any", ({"role": "system", "content": "Be brief."}, {"role": "user", "content": PROMPT}), **more)


def using(server: FakeModelServer, job: Callable[[HttpTransport], Awaitable[Any]], **options: Any) -> Any:
    async def main() -> Any:
        transport = HttpTransport(**{"base_url": server.base_url, "api_key": "sk-test", **options})
        try:
            return await job(transport)
        finally:
            await transport.close()

    return asyncio.run(main())


async def streamed(transport: HttpTransport) -> list[Any]:
    return [part async for part in transport.stream(request(max_output_tokens=30))]


def ways(server: FakeModelServer) -> dict[str, dict[str, Any]]:
    return {
        "openai": {},
        "azure": {"base_url": server.url, "api_version": "2024-10-21"},
        "anthropic": {"base_url": f"{server.url}/v1", "dialect": "anthropic"},
    }


@pytest.mark.parametrize("way", ["openai", "azure", "anthropic"])
def test_a_reply_is_the_same_whole_and_streamed(way: str) -> None:
    with FakeModelServer(tpm=100_000, api_key="sk-test") as server:
        options = ways(server)[way]
        whole = using(server, lambda transport: transport.complete(request(max_output_tokens=30)), **options)
        parts = using(server, streamed, **options)
    assert whole.text
    assert whole.rates is not None
    assert whole.usage is not None
    assert whole.usage.output_tokens <= 30
    assert "".join(part.text for part in parts) == whole.text == parts[-1].reply.text
    assert parts[-1].reply.usage == whole.usage
    assert parts[-1].reply.finish_reason == whole.finish_reason


def test_vectors_come_one_for_each_text() -> None:
    with FakeModelServer() as server:
        reply = using(server, lambda transport: transport.embed("any", ["a", "b", "c"], dimensions=8))
    assert [len(vector) for vector in reply.vectors] == [8, 8, 8]


@pytest.mark.parametrize(
    ("settings", "options", "error"),
    [
        ({"api_key": "sk-other"}, {}, AuthenticationError),
        ({"models": ("other",)}, {}, UnknownModelError),
        ({"context": 5}, {}, ContextLengthError),
        ({"faults": {"refuse": 1.0}}, {}, RateLimitedError),
        ({"faults": {"error_500": 1.0}}, {}, ServerError),
        ({"faults": {"error_503": 1.0}}, {}, ServerError),
        ({"faults": {"disconnect": 1.0}}, {}, (BrokenReplyError, ServerError)),
        ({"faults": {"drop": 1.0}}, {}, ServerError),
        ({"faults": {"malformed": 1.0}}, {}, BrokenReplyError),
        ({"faults": {"empty": 1.0}}, {}, BrokenReplyError),
        ({"faults": {"wrong_length": 1.0}}, {}, (BrokenReplyError, ServerError)),
        ({"faults": {"hang": 1.0}}, {"timeouts": Timeouts(total=0.2)}, ServerError),
    ],
)
def test_each_fault_is_an_error_of_its_kind(
    settings: dict[str, Any], options: dict[str, Any], error: type[ModelError]
) -> None:
    for job in (lambda transport: transport.complete(request()), streamed):
        with FakeModelServer(**settings) as server, pytest.raises(error) as caught:
            using(server, job, **options)
        shown = f"{caught.value!r} {caught.value.__dict__}"
        assert "purple" not in shown
        assert "sk-test" not in shown


@pytest.mark.parametrize("headers", ["openai", "azure", "anthropic"])
def test_what_a_server_announces_is_read(headers: str) -> None:
    async def twice(transport: HttpTransport) -> Any:
        first = (await transport.complete(request())).rates
        with pytest.raises(RateLimitedError) as caught:
            await transport.complete(request())
        return first, caught.value.retry_after

    with FakeModelServer(rpm=1, headers=headers) as server:
        rates, retry_after = using(server, twice)
    assert rates.metrics["requests"].limit == (None if headers == "azure" else 1)
    assert rates.metrics["requests"].remaining == 0
    assert 50 < retry_after <= 61

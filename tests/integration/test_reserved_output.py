"""What is reserved for a reply is given back only where the provider counts what the reply had."""

from __future__ import annotations

import asyncio

import pytest

from tenire.llm import ChatClient
from tenire.testing import FakeModelServer


@pytest.mark.parametrize(("dialect", "given_back"), [("openai", False), ("anthropic", True)])
def test_reserved_output_is_given_back_where_real_output_counts(dialect: str, given_back: bool) -> None:
    async def main(base_url: str) -> tuple[int, int]:
        async with ChatClient(
            "m", base_url=base_url, api_key="k", dialect=dialect, input_tpm=100_000, output_tpm=10_000
        ) as client:
            reply = await client.complete("Say hello.", max_output_tokens=400)
            assert reply.usage is not None
            spent = client._session.quota.statistics().metrics["output_tokens"].spent
            return spent, reply.usage.output_tokens

    with FakeModelServer() as server:
        spent, used = asyncio.run(main(server.base_url))
    assert used < 400
    assert spent == (used if given_back else 400)

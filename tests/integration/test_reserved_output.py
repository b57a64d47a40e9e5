"""What is reserved for a reply is given back only where the provider counts what the reply had."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tenire.app.config import load_config
from tenire.concurrency.quotas import Quota
from tenire.errors import ConfigError
from tenire.llm import ChatClient
from tenire.testing import FakeModelServer

if TYPE_CHECKING:
    from pathlib import Path


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


@pytest.mark.parametrize("declared", ["reserved", "real"])
def test_what_is_declared_of_output_holds_for_every_dialect(declared: str) -> None:
    async def main(base_url: str, dialect: str) -> tuple[int, int, tuple[str, ...]]:
        async with ChatClient(
            "m", base_url=base_url, api_key="k", dialect=dialect, tpm=100_000, counts_output=declared
        ) as client:
            reply = await client.complete("Say hello.", max_output_tokens=400)
            assert reply.usage is not None
            quota = client._session.quota.statistics()
            return quota.metrics["tokens"].spent, reply.usage.tokens, quota.real_output

    with FakeModelServer() as server:
        for dialect in ("openai", "anthropic"):
            spent, used, real = asyncio.run(main(server.base_url, dialect))
            assert (spent == used) is (declared == "real")
            assert spent >= (used if declared == "real" else 400)
            assert real == (("tokens",) if declared == "real" else ())


def test_what_output_cannot_count_as_is_refused() -> None:
    with pytest.raises(ConfigError, match=r'counts_output must be "reserved" or "real", got \'used\''):
        ChatClient("m", base_url="http://127.0.0.1:1/v1", counts_output="used")


def test_a_quota_of_ones_own_says_itself_how_output_counts() -> None:
    quota = object.__new__(Quota)
    with pytest.raises(ConfigError, match="quota stands in place of"):
        ChatClient("m", base_url="http://127.0.0.1:1/v1", quota=quota, counts_output="real")


def test_a_configuration_says_how_output_counts(tmp_path: Path) -> None:
    text = '[quotas.main]\nbase_url = "http://127.0.0.1:1/v1"\ncounts_output = "{}"\n[pipelines.docs]\nsource = "."\n'
    path = tmp_path / "tenire.toml"
    path.write_text(text.format("real"))
    assert load_config(path).quotas["main"].counts_output == "real"
    path.write_text(text.format("used"))
    with pytest.raises(ConfigError, match=r"counts_output must be .*reserved.*real.*used"):
        load_config(path)

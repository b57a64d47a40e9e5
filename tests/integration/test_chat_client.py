"""The client against a server over HTTP, with all sorts of trouble."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from tenire import ConcurrencyManager
from tenire.concurrency.quotas import Quota
from tenire.errors import AuthenticationError, BudgetError, ContextLengthError, UnknownModelError
from tenire.llm import ChatClient, ChatRequest, HttpTransport, Price
from tenire.testing import FakeModelServer, ServerFaults, cancel_sweep

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

MODEL = "gpt-4o-mini"


def client(server: FakeModelServer, **options: Any) -> ChatClient:
    return ChatClient(MODEL, base_url=server.base_url, **{"api_key": "sk-secret-1234567", **options})


def test_every_good_prompt_is_answered_through_a_hostile_server(tmp_path: Path) -> None:
    faults = ServerFaults(error_500=0.1, hang=0.02, disconnect=0.03, malformed=0.03, empty=0.02, refuse=0.02)

    async def main() -> None:
        async with FakeModelServer(faults=faults, poison="arsenic", outages=[(0.5, 1.0)], seed=3) as server:
            prompts = [f"{'arsenic' if number % 50 == 7 else 'sugar'} {number}" for number in range(300)]
            async with client(server, home=tmp_path, timeout=1.0, max_concurrency=32) as one:
                replies = {reply.index: reply async for reply in one.map(prompts, max_output_tokens=20)}
                statistics = one.statistics()
        assert sorted(replies) == list(range(300))
        assert {index for index, reply in replies.items() if reply.error} == set(range(7, 300, 50))
        assert all(str(index) in replies[index].text for index in range(300) if not replies[index].error)
        seen = server.statistics()
        assert seen.paid_twice == 0
        assert statistics.calls <= 300 * 1.6

    asyncio.run(main())


def test_the_declared_limits_are_never_passed() -> None:
    async def main() -> None:
        async with (
            FakeModelServer(rpm=40, tpm=4_000, window=1.0, latency=0.01) as server,
            ConcurrencyManager(cpu=1, memory=100) as manager,
        ):
            quota = Quota(manager.orchestrator, "short", requests=40, tokens=4_000, window=1.0, max_concurrency=16)
            async with client(server, manager=manager, quota=quota) as one:
                replies = [reply async for reply in one.map((f"p {n}" for n in range(100)), max_output_tokens=10)]
            assert not [reply.error for reply in replies if reply.error]
            assert server.statistics().refused == 0

    asyncio.run(main())


def test_the_cost_is_what_the_server_counted(tmp_path: Path) -> None:
    async def main() -> None:
        async with FakeModelServer(cached_tokens=4, reasoning_tokens=3) as server:
            price = Price(1.0, 10.0, 0.5)
            async with client(server, home=tmp_path, price=price) as one:
                replies = [reply async for reply in one.map([f"prompt number {n}" for n in range(20)])]
                spent = (await one.books.spending())["default"]
            usages = [reply.usage for reply in replies if reply.usage is not None]
            assert len(usages) == 20
            for usage in usages:
                assert usage.reasoning_tokens == 3
            cost = sum(
                (use.input_tokens - use.cached_tokens) * 1e-6 + use.cached_tokens * 0.5e-6 + use.output_tokens * 1e-5
                for use in usages
            )
            assert spent.cost_usd == pytest.approx(cost)
            assert sum(reply.cost_usd or 0 for reply in replies) == pytest.approx(cost)

    asyncio.run(main())


def test_the_money_is_never_passed(tmp_path: Path) -> None:
    async def main() -> None:
        async with FakeModelServer(latency=0.02) as server:
            price = Price(1.0, 10.0)
            async with client(server, home=tmp_path, price=price, budget_usd=0.01, max_concurrency=32) as one:
                with pytest.raises(BudgetError, match="budget_usd"):
                    async for _ in one.map((f"p {n}" for n in range(10_000)), max_output_tokens=20):
                        pass
                spent = (await one.books.spending())["default"].cost_usd
            assert 0.009 < spent <= 0.01

    asyncio.run(main())


@pytest.mark.parametrize(
    ("settings", "options", "error"),
    [
        ({"api_key": "other"}, {}, AuthenticationError),
        ({"models": ("another",)}, {}, UnknownModelError),
        ({"context": 50}, {"max_output_tokens": 60}, ContextLengthError),
    ],
)
def test_what_can_never_work_is_said_once(
    settings: dict[str, Any], options: dict[str, Any], error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with FakeModelServer(**settings) as server, client(server) as one:
            with pytest.raises(error) as caught:
                await one.complete("a secret prompt", **options)
            assert "secret" not in f"{caught.value!r} {caught.value} {getattr(caught.value, '__notes__', '')}"
            assert server.statistics().calls == 1

    with caplog.at_level(logging.DEBUG):
        asyncio.run(main())
    assert "secret" not in caplog.text


def test_streams_and_vectors_come_over_the_wire() -> None:
    async def main() -> None:
        async with FakeModelServer(dimensions=8) as server, client(server) as one:
            parts = [part async for part in one.stream("Hello", max_output_tokens=30)]
            assert len(parts) > 2
            assert parts[-1].reply is not None
            assert "".join(part.text for part in parts) == parts[-1].reply.text
            vectors = await one.embed([f"text {number}" for number in range(300)])
            assert {len(vector) for vector in vectors} == {8}
            assert one.statistics().calls <= 4

    asyncio.run(main())


def test_a_connection_is_closed_wherever_its_call_is_cancelled() -> None:
    made: list[HttpTransport] = []

    async def scenario() -> None:
        transport = HttpTransport(server.base_url, api_key="sk-secret-1234567")
        made.append(transport)
        request = ChatRequest(MODEL, ({"role": "user", "content": "Hello"},), 20)
        try:
            await transport.complete(request)
            async for _ in transport.stream(request):
                pass
            await transport.embed(MODEL, ["a", "b"])
        finally:
            await transport.close()

    def check() -> None:
        assert made.pop()._session is None  # what it held open the guard of leaks would find

    with FakeModelServer() as server:
        report = cancel_sweep(scenario, check=check, loop_factory=asyncio.new_event_loop, may_finish=True)
    assert report.awaits >= 6


def test_a_client_that_is_opened_again_calls_again() -> None:
    async def main() -> None:
        async with FakeModelServer() as server:
            one = client(server)
            for number in range(2):
                async with one:
                    assert (await one.complete(f"Hello {number}", max_output_tokens=5)).text
            assert server.statistics().answered == 2

    asyncio.run(main())

"""Which clients share a quota with those of other processes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tenire import ConcurrencyManager
from tenire.llm import quotas
from tenire.llm.quotas import counting, limits_of, make_quota

RATES = {"rpm": 500, "tpm": 200_000}


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Tells the name under which a client with these limits shares its quota."""
    seen: list[str] = []

    def sharing(name: str, **_: Any) -> None:
        seen.append(name)

    monkeypatch.setattr(quotas, "QuotaSharing", sharing)

    def identity(who: str = "somebody", **limits: int | None) -> str:
        async def main() -> None:
            async with ConcurrencyManager(cpu=1, memory=100) as manager:
                made = make_quota(manager, "main", who, limits_of(**limits), counting(None, None))
                await made.aclose()

        asyncio.run(main())
        return seen[-1]

    return identity


def test_rates_tell_which_belong_together_and_not_how_many_calls_are_made_at_once(identity: Any) -> None:
    one = identity(**RATES, max_concurrency=None)
    assert one == identity(**RATES) == identity(**RATES, max_concurrency=64)
    assert one != identity(rpm=500, tpm=100_000)
    assert one != identity("somebody else", **RATES)


def test_where_only_the_number_at_once_is_declared_it_tells(identity: Any) -> None:
    assert identity(max_concurrency=4) != identity(max_concurrency=8)
    assert "somebody" not in identity(max_concurrency=4)

"""Which clients share a quota with those of other processes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tenire import ConcurrencyManager
from tenire.errors import ConfigError
from tenire.llm import ChatClient, quotas
from tenire.llm.quotas import QuotaLease, counting, lease_quota, limits_of, make_quota

RATES = {"rpm": 500, "tpm": 200_000}


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Tells the name under which a client with these limits shares its quota."""
    seen: list[str] = []

    def sharing(name: str, *, every: bool, **_: Any) -> None:
        seen.append(f"{name} {every}")

    monkeypatch.setattr(quotas, "QuotaSharing", sharing)

    def identity(who: str = "somebody", group: str | None = None, **limits: int | None) -> str:
        async def main() -> None:
            async with ConcurrencyManager(cpu=1, memory=100) as manager:
                made = make_quota(manager, "main", who, limits_of(**limits), counting(None, None), group)
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


def test_models_that_are_counted_apart_have_a_quota_each_though_their_limits_are_equal(identity: Any) -> None:
    assert identity(**RATES, group="small") != identity(**RATES, group="large")
    assert identity(**RATES, group="small") != identity(**RATES)
    assert identity(**RATES, group="small") != identity("somebody else", **RATES, group="small")


def test_models_that_are_counted_together_share_a_quota_whatever_each_declares(identity: Any) -> None:
    assert identity(**RATES, group="all") == identity(rpm=400, group="all") == identity(max_concurrency=4, group="all")
    assert identity(group="all") == identity(**RATES, group="all")  # what the server names is shared as well


def test_in_a_group_what_has_no_limit_here_is_counted_for_those_who_have_one(identity: Any) -> None:
    assert identity(rpm=500, group="all").endswith("True")
    assert identity(rpm=500).endswith("False")  # then nobody who shares it has another one


def test_in_one_engine_too_a_group_has_a_quota_of_its_own() -> None:
    async def main() -> None:
        async with ConcurrencyManager(cpu=1, memory=100) as manager:

            def lease(group: str | None) -> QuotaLease:
                return lease_quota(manager, "server", "me", limits_of(**RATES), counting(None, None), group)

            leases = [lease("small"), lease("large"), lease("small"), lease(None)]
            small, large, again, rest = [one.quota for one in leases]
            assert small is again
            assert len({small.name, large.name, rest.name}) == 3
            for one in leases:
                await one.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("group", ["", 3])
def test_what_is_no_name_of_a_group_is_refused(group: Any) -> None:
    with pytest.raises(ConfigError, match="group must be the name of what the provider counts together, got"):
        ChatClient("m", base_url="http://127.0.0.1:1/v1", group=group)

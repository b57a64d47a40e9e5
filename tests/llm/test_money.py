from __future__ import annotations

import pytest

from tenire.errors import ConfigError
from tenire.llm.money import Price, picodollars, to_usd, usd_text
from tenire.llm.prices import price_of
from tenire.llm.records import Usage

MINI = Price(0.15, 0.60, 0.075)


def test_cached_tokens_cost_less_and_reasoning_is_output() -> None:
    usage = Usage(input_tokens=1000, output_tokens=200, cached_tokens=400, reasoning_tokens=150)
    assert MINI.cost(usage) == 600 * 150_000 + 400 * 75_000 + 200 * 600_000
    assert Price(0.15, 0.60).cost(usage) == 1000 * 150_000 + 200 * 600_000


def test_a_provider_that_counts_more_cached_tokens_than_tokens_is_not_believed() -> None:
    assert MINI.cost(Usage(input_tokens=10, cached_tokens=30)) == 10 * 75_000


def test_sums_of_many_small_costs_are_exact() -> None:
    one = Price(0.1, 0.3).cost(Usage(input_tokens=1, output_tokens=1))
    assert to_usd(sum([one] * 10_000_000)) == 4.0


def test_no_call_costs_more_than_the_most() -> None:
    usage = Usage(input_tokens=1000, output_tokens=200, cached_tokens=1)
    assert MINI.cost(usage) <= MINI.most(1000, 200)


def test_calls_in_a_batch_cost_a_part() -> None:
    usage = Usage(input_tokens=1000, output_tokens=200, cached_tokens=400)
    assert 2 * MINI.in_batch().cost(usage) == MINI.cost(usage)
    assert 4 * Price(1.0, 2.0, batch_share=0.25).in_batch().cost(usage) == Price(1.0, 2.0).cost(usage)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), True, None])
def test_an_impossible_part_is_refused_by_name(share: float) -> None:
    with pytest.raises(ConfigError, match="batch_share must be a part of the price, from 0 to 1"):
        Price(0.1, 0.1, batch_share=share)


@pytest.mark.parametrize("price", [-1, float("nan"), float("inf"), True, "1"])
def test_an_impossible_price_is_refused_by_name(price: float) -> None:
    with pytest.raises(ConfigError, match="output_usd_per_mtok must be zero or more US dollars"):
        Price(0.1, price)


@pytest.mark.parametrize("usd", [-0.01, float("nan"), float("inf"), True, None])
def test_an_impossible_budget_is_refused_by_name(usd: float) -> None:
    with pytest.raises(ConfigError, match="budget_usd must be zero or more"):
        picodollars("budget_usd", usd)


def test_dollars_become_whole_picodollars() -> None:
    assert picodollars("budget_usd", 0.1) == 10**11
    assert picodollars("budget_usd", 2) == 2 * 10**12


@pytest.mark.parametrize(
    ("cost", "text"),
    [
        (0, "$0.00"),
        (27_000_000, "$0.000027"),
        (10**9, "$0.001"),
        (123_400_000_000, "$0.1234"),
        (1_234_500_000_000_000, "$1,234.50"),
    ],
)
def test_money_is_told_with_digits_that_say_something(cost: int, text: str) -> None:
    assert usd_text(cost) == text


@pytest.mark.parametrize(
    "name", ["gpt-4o-mini", "gpt-4o-mini-2024-07-18", "openai/gpt-4o-mini", "OpenRouter/openai/GPT-4o-mini"]
)
def test_a_model_is_known_whoever_offers_it_and_whatever_its_date(name: str) -> None:
    assert price_of(name) == MINI


def test_dates_of_other_providers_are_known_too() -> None:
    assert price_of("claude-haiku-4-5-20251001") == price_of("claude-haiku-4-5")
    assert price_of("mistral-small-latest") == price_of("mistral-small-2603") == price_of("mistral-small")
    assert price_of("claude-haiku-4-5") is not None


@pytest.mark.parametrize("name", ["llama3", "gpt-4o-mini-mine", "ft:gpt-4o-mini:me", "", "gpt"])
def test_a_model_that_is_not_known_has_no_price(name: str) -> None:
    assert price_of(name) is None


def test_a_model_on_this_machine_costs_nothing() -> None:
    assert price_of("local") == price_of("local:tiny.gguf") == Price(0.0, 0.0)
    assert price_of("localhost-model") is None


def test_prices_of_ones_own_go_first() -> None:
    mine = Price(1.0, 2.0)
    assert price_of("gpt-4o-mini", mine) == mine
    assert price_of("gpt-4o-mini", {"gpt-4o-mini": mine}) == mine
    assert price_of("gpt-4o-mini", {"other": mine}) == MINI

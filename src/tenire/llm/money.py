"""What calls cost, in whole picodollars (10⁻¹² US dollars), so that sums are exact.

A price of so many dollars for a million tokens is a million times as many picodollars for
one token: always a whole number.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, floor, isfinite, log10
from typing import TYPE_CHECKING

from tenire.errors import ConfigError

if TYPE_CHECKING:
    from tenire.llm.records import Usage

__all__ = ["Price", "picodollars", "to_usd", "usd_text"]

_PICO = 10**12
_PER_TOKEN = 10**6


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs, in US dollars for a million tokens.

    Attributes:
        input_usd_per_mtok: Tokens of the prompt.
        output_usd_per_mtok: Tokens of the reply, reasoning included.
        cached_input_usd_per_mtok: Tokens of the prompt that the provider had cached;
            ``None`` if they cost the same as others.
        batch_share: What part of that calls in a batch cost.

    Raises:
        ConfigError: If a price is impossible.
    """

    input_usd_per_mtok: float
    output_usd_per_mtok: float
    cached_input_usd_per_mtok: float | None = None
    batch_share: float = 0.5

    def __post_init__(self) -> None:
        share = self.batch_share
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1:
            message = f"batch_share must be a part of the price, from 0 to 1, got {share!r}"
            raise ConfigError(message, key="batch_share")
        for name in ("input_usd_per_mtok", "output_usd_per_mtok", "cached_input_usd_per_mtok"):
            value = getattr(self, name)
            if value is None and name == "cached_input_usd_per_mtok":
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
                message = f"{name} must be zero or more US dollars for a million tokens, got {value!r}"
                raise ConfigError(message, key=name)

    def in_batch(self) -> Price:
        """Return what calls in a batch cost."""
        share, cached = self.batch_share, self.cached_input_usd_per_mtok
        cached = None if cached is None else cached * share
        return Price(self.input_usd_per_mtok * share, self.output_usd_per_mtok * share, cached, 1.0)

    def cost(self, usage: Usage) -> int:
        """Return what a call cost, picodollars."""
        plain = _per_token(self.input_usd_per_mtok)
        cached = plain if self.cached_input_usd_per_mtok is None else _per_token(self.cached_input_usd_per_mtok)
        hits = min(usage.cached_tokens, usage.input_tokens)
        output = usage.output_tokens * _per_token(self.output_usd_per_mtok)
        return (usage.input_tokens - hits) * plain + hits * cached + output

    def most(self, input_tokens: int, output_tokens: int) -> int:
        """Return the most that a call of so many tokens can cost, picodollars."""
        return input_tokens * _per_token(self.input_usd_per_mtok) + output_tokens * _per_token(self.output_usd_per_mtok)


@lru_cache(maxsize=64)
def _per_token(usd_per_mtok: float) -> int:
    return round(usd_per_mtok * _PER_TOKEN)


def picodollars(name: str, usd: float) -> int:
    """Return US dollars as picodollars, never less.

    Raises:
        ConfigError: If it is no amount of money; names ``name``.
    """
    if isinstance(usd, bool) or not isinstance(usd, (int, float)) or not isfinite(usd) or usd < 0:
        message = f"{name} must be zero or more US dollars, got {usd!r}"
        raise ConfigError(message, key=name)
    return ceil(round(usd * _PICO, 3))


def to_usd(cost: int) -> float:
    """Return picodollars as US dollars."""
    return cost / _PICO


def usd_text(cost: int) -> str:
    """Return picodollars for people, with as many digits as it takes to see something."""
    usd = cost / _PICO
    if usd >= 1 or not cost:
        return f"${usd:,.2f}"
    digits = 4 if usd >= 0.01 else 1 - floor(log10(usd))
    return f"${usd:.{digits}f}".rstrip("0")

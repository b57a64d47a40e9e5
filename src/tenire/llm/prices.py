"""What well-known models cost. Prices change: give your own where it matters.

Those are list prices as the public price table of litellm (release 1.110.2) had them on
``AS_OF``, for calls that are answered at once and
prompts of usual length: some models cost more beyond 200,000 tokens. A discount for prompts
that the provider has cached is included, a surcharge for writing to its cache is not.
"""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING

from tenire.llm.money import Price

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AS_OF", "price_of"]

AS_OF = date(2026, 11, 26)
"""The day on which the table was made; it was not compared with the providers' own pages."""

# Input, cached input, output: US dollars for a million tokens.
_TABLE: dict[str, tuple[float, float | None, float]] = {
    # OpenAI
    "gpt-6.1-sol": (2.0, 0.1, 10.0),
    "gpt-6.1-terra": (1.0, 0.05, 5.0),
    "gpt-6-astra": (10.0, 1.0, 50.0),
    "gpt-6-sol": (2.0, 0.2, 10.0),
    "gpt-6-luna": (0.1, 0.01, 0.5),
    "gpt-5.6": (4.0, 0.4, 20.0),
    "gpt-5.6-sol": (4.0, 0.4, 20.0),
    "gpt-5.6-terra": (2.0, 0.2, 12.0),
    "gpt-5.6-luna": (0.2, 0.02, 1.2),
    "gpt-5.5": (5.0, 0.5, 30.0),
    "gpt-5.5-pro": (30.0, None, 180.0),
    "gpt-5.4": (2.5, 0.25, 15.0),
    "gpt-5.4-pro": (30.0, None, 180.0),
    "gpt-5.4-mini": (0.75, 0.075, 4.5),
    "gpt-5.4-nano": (0.2, 0.02, 1.25),
    "gpt-5.2": (1.75, 0.175, 14.0),
    "gpt-5.2-pro": (21.0, None, 168.0),
    "gpt-5.1": (1.25, 0.125, 10.0),
    "gpt-5": (1.25, 0.125, 10.0),
    "gpt-5-mini": (0.25, 0.025, 2.0),
    "gpt-5-nano": (0.05, 0.005, 0.4),
    "gpt-5-pro": (15.0, None, 120.0),
    "gpt-4.1": (2.0, 0.5, 8.0),
    "gpt-4.1-mini": (0.4, 0.1, 1.6),
    "gpt-4.1-nano": (0.1, 0.025, 0.4),
    "gpt-4o": (2.5, 1.25, 10.0),
    "gpt-4o-mini": (0.15, 0.075, 0.6),
    "o1": (15.0, 7.5, 60.0),
    "o3": (2.0, 0.5, 8.0),
    "o3-mini": (1.1, 0.55, 4.4),
    "o3-pro": (20.0, None, 80.0),
    "o4-mini": (1.1, 0.275, 4.4),
    "text-embedding-3-large": (0.13, None, 0.0),
    "text-embedding-3-small": (0.02, None, 0.0),
    "text-embedding-ada-002": (0.1, None, 0.0),
    # Anthropic
    "claude-opus-5-5": (4.0, 0.2, 20.0),
    "claude-opus-5": (5.0, 0.5, 25.0),
    "claude-opus-4-8": (5.0, 0.5, 25.0),
    "claude-opus-4-7": (5.0, 0.5, 25.0),
    "claude-opus-4-6": (5.0, 0.5, 25.0),
    "claude-opus-4-5": (5.0, 0.5, 25.0),
    "claude-sonnet-5-5": (2.0, 0.1, 10.0),
    "claude-sonnet-5": (2.0, 0.2, 10.0),
    "claude-sonnet-4-6": (3.0, 0.3, 15.0),
    "claude-sonnet-4-5": (3.0, 0.3, 15.0),
    "claude-haiku-5-5": (0.1, 0.01, 0.5),
    "claude-haiku-4-5": (1.0, 0.1, 5.0),
    # Google
    "gemini-4-argon": (2.0, 0.1, 10.0),
    "gemini-4-hydrogen": (1.5, 0.075, 7.5),
    "gemini-3.8-flash": (0.75, 0.075, 3.75),
    "gemini-3.7-flash": (0.75, 0.075, 3.75),
    "gemini-3.6-flash": (0.75, 0.075, 3.75),
    "gemini-3.5-flash": (1.5, 0.15, 9.0),
    "gemini-3.5-flash-lite": (0.3, 0.03, 2.5),
    "gemini-3.1-flash-lite": (0.25, 0.025, 1.5),
    "gemini-2.5-pro": (1.25, 0.125, 10.0),
    "gemini-2.5-flash": (0.3, 0.03, 2.5),
    "gemini-2.5-flash-lite": (0.1, 0.01, 0.4),
    "gemini-embedding-001": (0.15, None, 0.0),
    "gemini-embedding-2": (0.2, None, 0.0),
    # Mistral
    "mistral-large-4": (0.7, 0.07, 2.1),
    "mistral-large-3": (0.5, 0.05, 1.5),
    "mistral-medium-3-5": (1.5, 0.15, 7.5),
    "mistral-small": (0.15, 0.015, 0.6),
    "ministral-14b": (0.2, 0.02, 0.2),
    "ministral-8b": (0.15, 0.015, 0.15),
    "ministral-3b": (0.1, 0.01, 0.1),
    "mistral-embed": (0.1, None, 0.0),
    # DeepSeek
    "deepseek-v4-pro": (1.32, 0.044, 3.96),
    "deepseek-v4-flash": (0.3, 0.006, 1.2),
    "deepseek-flash": (0.3, 0.006, 1.2),
    # Voyage
    "voyage-4-large": (0.12, None, 0.0),
    "voyage-4": (0.06, None, 0.0),
    "voyage-4-lite": (0.02, None, 0.0),
}

_VERSION = re.compile(r"-(latest|\d{4}-\d{2}-\d{2}|\d{8}|2[4-9][01]\d)\Z")  # of a name such as gpt-4o-2024-08-06


def price_of(model: str, own: Mapping[str, Price] | Price | None = None) -> Price | None:
    """Return the price of a model; ``None`` if it is not known.

    Args:
        model: Its name at the provider; who offers it (``openai/…``) and a date at the end
            do not matter.
        own: Prices of your own, which go first: by name, or one for all models.
    """
    if isinstance(own, Price):
        return own
    if own is not None and model in own:
        return own[model]
    if model == "local" or model.startswith("local:"):
        return Price(0.0, 0.0)  # on this machine
    name = model.rpartition("/")[2].lower()
    row = _TABLE.get(name) or _TABLE.get(_VERSION.sub("", name))
    return None if row is None else Price(row[0], row[2], row[1])

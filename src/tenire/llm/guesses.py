"""What a call may have used of which nobody has said it.

1. The most is what is set aside for it, and what it is charged with if it broke off: a prompt
   a quarter longer than estimated, and the longest reply to be reckoned with.
2. What may be answered by several models costs, at the most, what it costs at the dearest.
3. A reply that came, but was not counted, has no more tokens than characters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.llm.records import Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenire.llm.money import Price
    from tenire.llm.tokens import TokenEstimate

__all__ = ["most_cost", "most_held", "most_tokens", "most_usage", "uncounted_usage"]


def most_tokens(estimate: TokenEstimate) -> tuple[int, int]:
    """Return the most tokens that a call can use, of input and of output."""
    prompt = estimate.input_tokens
    # The quota can bear an estimate that was too low now and then; a hard stop cannot.
    return prompt + prompt // 4 + 16, estimate.most_output


def most_usage(estimate: TokenEstimate) -> Usage:
    """Return the most that a call can use."""
    return Usage(*most_tokens(estimate))


def most_cost(needed: Sequence[TokenEstimate], prices: Sequence[Price | None]) -> int | None:
    """Return what a call is estimated to cost at the most, whichever model answers it.

    Args:
        needed: What it will need at each model.
        prices: Of these models, or ``None`` for one that is not known.

    Returns:
        Picodollars; ``None`` if a price is not known.
    """
    most = 0
    for one, price in zip(needed, prices, strict=True):
        if price is None:
            return None
        most = max(most, price.most(one.input_tokens, one.most_output))
    return most


def most_held(needed: Sequence[TokenEstimate], prices: Sequence[Price | None]) -> int:
    """Return what is set aside of a budget while a call is under way, at the dearest of the models.

    Args:
        needed: What it will need at each model.
        prices: Of these models; one that is not known has no part in it.

    Returns:
        Picodollars.
    """
    held = (price.most(*most_tokens(one)) for one, price in zip(needed, prices, strict=True) if price is not None)
    return max(held, default=0)


def uncounted_usage(estimate: TokenEstimate, characters: int) -> Usage:
    """Return what a call used, at the most, whose reply has so many characters and no count of its tokens."""
    most = min(estimate.most_output, characters) if estimate.bounded else characters
    return Usage(estimate.input_tokens, most)

"""What calls of one client add up to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenire.storage.spending import Charge

__all__ = ["Totals"]


@dataclass(slots=True)
class Totals:
    """Sums so far.

    Attributes:
        calls: Requests that were sent to the provider.
        cached_calls: Prompts and texts that were answered without a request of their own.
        input_tokens: Of prompts, as the provider counted them.
        cached_tokens: Of these, those that the provider had cached.
        output_tokens: Of replies, reasoning included.
        reasoning_tokens: Of these, those that nobody sees.
        cost: Picodollars.
        guessed: Of these, picodollars that nobody has confirmed: the call broke off.
    """

    calls: int = 0
    cached_calls: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost: int = 0
    guessed: int = 0

    def add(self, charge: Charge) -> None:
        """Take in what one call cost."""
        self.input_tokens += charge.input_tokens
        self.cached_tokens += charge.cached_tokens
        self.output_tokens += charge.output_tokens
        self.reasoning_tokens += charge.reasoning_tokens
        self.cost += charge.cost
        self.guessed += charge.guessed

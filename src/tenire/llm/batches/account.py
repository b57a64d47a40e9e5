"""What batches may cost and have cost: as the client's other calls, at the price of batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.errors import BudgetError
from tenire.llm.guesses import most_usage, uncounted_usage
from tenire.storage.spending import Charge

if TYPE_CHECKING:
    from tenire.llm.money import Price
    from tenire.llm.purse import Purse
    from tenire.llm.records import ChatRequest, Usage
    from tenire.llm.tokens import TokenCounter
    from tenire.llm.totals import Totals

__all__ = ["BatchAccount"]


class BatchAccount:
    """Whom batches of one model are charged to.

    Args:
        model: The model.
        pipeline: Whose money they take.
        price: Of calls in a batch, or ``None`` if it is not known.
        purse: What may be spent.
        counter: Estimates tokens.
        totals: Of the client.
    """

    def __init__(
        self,
        model: str,
        *,
        pipeline: str,
        price: Price | None,
        purse: Purse,
        counter: TokenCounter,
        totals: Totals,
    ) -> None:
        self._model = model
        self._pipeline = pipeline
        self._price = price
        self._purse = purse
        self._counter = counter
        self._totals = totals

    def most(self, request: ChatRequest) -> int:
        """Return the most that a request can cost, picodollars."""
        if self._price is None:
            return 0
        return self._price.cost(most_usage(self._counter.estimate(request)))

    def guess(self, request: ChatRequest, reply: str | None) -> Charge:
        """Return what one line may have cost that the provider has not counted.

        Args:
            request: That was sent.
            reply: What came back; ``None`` for what cannot be read.
        """
        estimate = self._counter.estimate(request)
        return self.charge(
            most_usage(estimate) if reply is None else uncounted_usage(estimate, len(reply)), guessed=True
        )

    def guess_unseen(self, cost: int) -> Charge:
        """Return the charge of such a line of which nobody knows any more what was sent; picodollars."""
        return Charge(self._pipeline, self._model, 0, 0, 0, 0, cost, cost)

    def charge(self, usage: Usage, *, guessed: bool = False) -> Charge:
        """Return what one line has cost."""
        cost = 0 if self._price is None else self._price.cost(usage)
        return Charge(
            self._pipeline,
            self._model,
            usage.input_tokens,
            usage.cached_tokens,
            usage.output_tokens,
            usage.reasoning_tokens,
            cost,
            cost if guessed else 0,
        )

    async def hold(self, cost: int, *, handed_over: bool) -> int:
        """Hold the most that a batch can cost; return what is held.

        Args:
            cost: Picodollars.
            handed_over: Whether the provider has the batch: then it costs what it costs,
                whatever may be spent.

        Raises:
            BudgetError: If it can fit no more.
        """
        try:
            await self._purse.take(self._pipeline, cost)
        except BudgetError:
            if not handed_over:
                raise
            return 0
        return cost

    def sent(self, lines: int) -> None:
        """Take in that so many requests were sent."""
        self._totals.calls += lines

    def settled(self, charges: list[Charge]) -> int:
        """Take in what lines have cost, which the home knows; return the sum, picodollars."""
        for charge in charges:
            self._totals.add(charge)
        return sum(charge.cost for charge in charges)

    def close(self, held: int, cost: int) -> None:
        """Give back what was held for a batch, less what it has cost."""
        self._purse.settle(self._pipeline, held, cost=cost)
        self._purse.recorded(cost)

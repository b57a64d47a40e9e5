"""Rows whose prompts go to the provider in batches, before they are answered one by one.

All rows that need an answer are asked ahead. Their replies are kept in the home, so that
each row finds its own there afterwards; only refusals have to be remembered meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from tenire.errors import ContextLengthError, ModelError
from tenire.pipeline.rows.recipe import RowError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator

    from tenire.llm.chat_recipe import ChatRecipe
    from tenire.llm.replies import Reply
    from tenire.pipeline.rows.records import Row

__all__ = ["AskedAhead", "BatchOfPrompts"]

_MARK = 16  # bytes of a request's hash that are remembered until its reply is there


class BatchOfPrompts(Protocol):
    """Asks many prompts in batches, or some of them at once."""

    def __call__(self, prompts: AsyncIterable[Any]) -> AsyncIterator[Reply]:
        """Yield their replies, in any order."""
        ...


class AskedAhead:
    """What was asked ahead of the rows of one run.

    Args:
        batch: Asks prompts.
    """

    def __init__(self, batch: BatchOfPrompts) -> None:
        self._batch = batch
        self._marks = bytearray()
        self._refused: dict[bytes, ModelError] = {}
        self._answered = 0
        self._used = 0

    @property
    def used(self) -> int:
        """Replies that rows have found which were made for them: no saving, though they were kept."""
        return self._used

    async def ask(self, recipe: ChatRecipe, rows: AsyncIterable[Row]) -> None:
        """Ask for the replies to rows; returns once all are kept.

        Raises:
            TenireError: If no row can be answered any more.
        """
        async for reply in self._batch(self._prompts(recipe, rows)):
            mark = self._mark(reply.index)
            if reply.error is None:
                self._answered += 1
            # A prompt that is too long is cut when its row's turn comes.
            elif isinstance(reply.error, ModelError) and not (
                recipe.shorten and isinstance(reply.error, ContextLengthError)
            ):
                self._refused[mark] = reply.error
        self._marks.clear()

    def refused(self, recipe: ChatRecipe, row: Row) -> ModelError | None:
        """Return why the provider has refused a row, or ``None``."""
        return self._refused.get(bytes.fromhex(recipe.request(row))[:_MARK]) if self._refused else None

    def use(self, reply: Reply) -> None:
        """Take in that a row has found a reply."""
        if reply.cached and self._used < self._answered:
            self._used += 1

    async def _prompts(self, recipe: ChatRecipe, rows: AsyncIterable[Row]) -> AsyncIterator[Any]:
        async for row in rows:
            try:
                messages = recipe.messages(row.fields)
            except RowError:  # it is told when its turn comes
                continue
            self._marks += bytes.fromhex(recipe.request(row))[:_MARK]
            yield messages

    def _mark(self, index: int) -> bytes:
        return bytes(self._marks[index * _MARK : (index + 1) * _MARK])

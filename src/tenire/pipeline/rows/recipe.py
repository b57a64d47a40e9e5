"""What a row pipeline does to its rows, as far as the run needs to know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tenire.pipeline.rows.records import Row

__all__ = ["RowError", "RowRecipe", "RowTerms"]


class RowError(Exception):
    """One row cannot be answered; it goes to quarantine, and the run goes on.

    Attributes:
        stage: The stage that refused it.
        attempts: Tries that got an answer; none if nothing was asked.
    """

    def __init__(self, message: str, *, stage: str, attempts: int = 0) -> None:
        super().__init__(message)
        self.stage = stage
        self.attempts = attempts


class RowTerms(Protocol):
    """What decides which rows need an answer."""

    @property
    def key(self) -> str:
        """The setting that names the fields, for messages."""
        ...

    @property
    def fields(self) -> Sequence[str]:
        """Fields that a row must have."""
        ...

    @property
    def policy(self) -> str:
        """What decides, besides the request, whether a row can be answered.

        A row in quarantine is tried again if it changes.
        """
        ...

    def request(self, row: Row) -> str:
        """Return a hash of all that the answer depends on; on a thread.

        Raises:
            RowError: If there is nothing to ask.
        """
        ...


class RowRecipe(RowTerms, Protocol):
    """What is done to each row by itself."""

    async def answer(self, row: Row) -> Mapping[str, Any]:
        """Return what the output says of a row, without its id.

        Raises:
            RowError: If this row cannot be answered.
            Exception: Anything else ends the run.
        """
        ...

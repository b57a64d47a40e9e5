"""What a provider with a batch API can do, in one form; one try each, no more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence
    from pathlib import Path

    from tenire.errors import ModelError
    from tenire.llm.records import ChatRequest, ModelReply

__all__ = ["MAYBE", "BatchProvider", "BatchView", "LineResult", "LostBatch"]

MAYBE = "?"
"""Begins the name of a batch that may be somebody else's; ``find`` tells once it has ended."""

_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})


@dataclass(frozen=True, slots=True)
class BatchView:
    """How far a batch is.

    Attributes:
        id: The provider's name for it; with ``MAYBE`` before it if it may be somebody else's.
        status: ``validating``, ``in_progress``, ``finalizing``, ``completed``, ``failed``,
            ``expired``, ``cancelling`` or ``cancelled``.
        mark: Ours, that was given with it; empty if there is none.
        input_file: The file with its lines.
        results: Files with its results.
        created_at: Seconds since the epoch, by the provider's clock.
        total: Its lines.
        completed: Those that have a reply.
        failed: Those that failed.
        errors: Why it was not accepted: code and message of each reason.
    """

    id: str
    status: str
    mark: str = ""
    input_file: str = ""
    results: tuple[str, ...] = ()
    created_at: float = 0.0
    total: int = 0
    completed: int = 0
    failed: int = 0
    errors: tuple[tuple[str, str], ...] = field(default=())

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.status in _ENDED


@dataclass(frozen=True, slots=True)
class LineResult:
    """What became of one line; with neither a reply nor an error it was not reached.

    Attributes:
        key: Of the line.
        reply: The model's.
        error: Why there is none.
    """

    key: bytes
    reply: ModelReply | None = None
    error: ModelError | None = None


@dataclass(frozen=True, slots=True)
class LostBatch:
    """A batch that the provider was asked to make, and whose answer is not known.

    Attributes:
        mark: Ours.
        file: The provider's name for its file.
        path: Its lines, if they are not lost.
        made_at: Seconds since the epoch before which it was not made.
        others: The provider's names for batches that are known to be others.
    """

    mark: str
    file: str
    path: Path
    made_at: float
    others: Collection[str] = ()


class BatchProvider(Protocol):
    """The way to a provider's batch API.

    All methods but ``line`` raise a ``ModelError`` that says what went wrong, and never retry.

    Attributes:
        window: Seconds after which a batch has ended, one way or another.
    """

    window: float

    def line(self, key: bytes, request: ChatRequest) -> bytes:
        """Return the line of a request, with its end.

        Raises:
            ModelError: If it cannot be sent.
        """
        ...

    def request(self, line: bytes) -> ChatRequest:
        """Return the request of a line: its messages as they were given, and what bounds its reply."""
        ...

    async def upload(self, name: str, path: Path) -> str:
        """Send a file of lines; return the provider's name for it."""
        ...

    async def create(self, file: str, mark: str, path: Path) -> BatchView:
        """Have a file worked on, as a batch with our mark.

        Args:
            file: The provider's name for it.
            mark: Ours.
            path: The same file, for a provider that takes it only now.
        """
        ...

    async def look(self, batch: str) -> BatchView:
        """Return how far a batch is."""
        ...

    async def find(self, lost: LostBatch) -> BatchView | None:
        """Return the batch that was made of ours, or may have been; ``None`` if none was."""
        ...

    async def cancel(self, batch: str) -> None:
        """Have a batch ended; what is finished stays."""
        ...

    def results(self, file: str) -> AsyncIterator[Sequence[bytes]]:
        """Yield the lines of a file of results, some at a time."""
        ...

    def read(self, line: bytes, prompt: bytes | None) -> LineResult | None:
        """Read a line of results; ``None`` if it is none of ours.

        Args:
            line: As it came.
            prompt: The line that asked for it, so that no error quotes it; without it, no
                error says what the server wrote.
        """
        ...

    async def delete(self, file: str) -> None:
        """Delete a file."""
        ...

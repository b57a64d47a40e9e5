"""What one search asks a store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tenire.errors import EmbedderMismatchError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MODES", "Question", "check_vector"]

MODES = ("hybrid", "vector", "text")


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What one search asks.

    Attributes:
        query: Any text.
        vector: Its vector of shape ``(dimension,)``; not used by the mode ``text``.
        k: How many different texts; each may stand in several passages.
        mode: One of ``MODES``.
        exact: Compare with every vector, even where there is an index.
        within: Ids of the only documents to look at, or ``None`` for all.

    Raises:
        ValueError: If ``mode`` is unknown, or ``k`` is below 1.
    """

    query: str
    vector: NDArray[np.float32] | None
    k: int
    mode: str
    exact: bool = False
    within: frozenset[str] | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            message = f"mode must be one of {', '.join(MODES)}, got {self.mode!r}"
            raise ValueError(message)
        if self.k < 1:
            message = f"k must be at least 1, got {self.k}"
            raise ValueError(message)


def check_vector(question: Question, dimension: int, embedder: str) -> None:
    """See that a question's vector fits a store.

    Args:
        question: What is asked; its mode may need no vector.
        dimension: Length of the store's vectors.
        embedder: Identity of the store's embedder.

    Raises:
        ValueError: If the mode's vector is missing.
        EmbedderMismatchError: If its length is not the store's.
    """
    vector = question.vector
    if question.mode == "text":
        return
    if vector is None:
        message = f"mode {question.mode} needs the query's vector, got None"
        raise ValueError(message)
    if vector.shape != (dimension,):
        message = f"the query's vector has shape {vector.shape}, the store's have ({dimension},)"
        raise EmbedderMismatchError(
            message,
            stored=embedder,
            asked=f"vectors of shape {vector.shape}",
            hint="embed the query with the embedder that the store was built with",
        )

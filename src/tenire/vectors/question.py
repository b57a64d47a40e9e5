"""What one search asks a store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MODES", "Question"]

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

"""How good predictions are: accuracy, macro F1, logarithmic loss, and who is taken for whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Evaluation", "log_loss"]

_LEAST = 1e-15  # a probability of zero would make one wrong row count for ever


def log_loss(probabilities: NDArray[Any], true: NDArray[Any]) -> float:
    """Return the mean logarithmic loss.

    Args:
        probabilities: Of each class, shape ``(n, k)``.
        true: The right class of each row, shape ``(n,)``.
    """
    of_true = probabilities[np.arange(len(true)), true]
    return float(-np.log(np.clip(of_true, _LEAST, 1.0)).mean())


@dataclass(slots=True)
class Evaluation:
    """Counts predictions as they come.

    Attributes:
        confusion: Rows counted by right class (row) and predicted class (column), shape ``(k, k)``.
        loss: Sum of the logarithmic losses.
    """

    confusion: NDArray[np.int64]
    loss: float = 0.0

    @classmethod
    def of(cls, classes: int) -> Evaluation:
        """Return one for so many classes, which has counted nothing."""
        return cls(np.zeros((classes, classes), np.int64))

    def add(self, probabilities: NDArray[Any], predicted: NDArray[Any], true: NDArray[Any]) -> None:
        """Count some rows."""
        np.add.at(self.confusion, (true, predicted), 1)
        self.loss += log_loss(probabilities, true) * len(true) if len(true) else 0.0

    @property
    def rows(self) -> int:
        """Rows counted."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float | None:
        """Share of rows that are right; ``None`` without rows."""
        return float(np.trace(self.confusion) / self.rows) if self.rows else None

    @property
    def macro_f1(self) -> float | None:
        """Mean of the F1 of all classes that are right or predicted somewhere; ``None`` without rows."""
        if not self.rows:
            return None
        right = np.diag(self.confusion)
        either = self.confusion.sum(0) + self.confusion.sum(1)
        known = either > 0
        return float((2 * right[known] / either[known]).mean())

    def metrics(self) -> dict[str, Any]:
        """Return the figures, rounded, as a manifest keeps them."""
        figures = {"accuracy": self.accuracy, "macro_f1": self.macro_f1}
        if self.rows:
            figures["log_loss"] = self.loss / self.rows
        return {name: None if value is None else round(value, 6) for name, value in figures.items()}

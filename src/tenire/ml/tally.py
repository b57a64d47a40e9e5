"""How good results are, counted as they come, where the right ones are known; without numpy."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

__all__ = ["ResultTally", "Tally", "kind_of"]


def kind_of(label: Any) -> tuple[str, Any]:
    """Return what labels are compared by: in Python ``True`` equals 1, but they are two labels."""
    return type(label).__name__, label


class Tally:
    """Counts labels against the right ones."""

    def __init__(self) -> None:
        self._pairs: Counter[tuple[Any, Any]] = Counter()

    def add(self, right: Any, said: Any) -> None:
        """Count one row; what is no label is not counted."""
        if isinstance(right, str | int):
            self._pairs[kind_of(right), kind_of(said)] += 1

    def figures(self) -> dict[str, Any]:
        """Return ``accuracy``, ``macro_f1`` and ``labelled_rows``; nothing without rows."""
        rows = self._pairs.total()
        if not rows:
            return {}
        true: Counter[Any] = Counter()
        either: Counter[Any] = Counter()
        for (right, said), count in self._pairs.items():
            either[right] += count
            either[said] += count
            if right == said:
                true[right] += count
        macro = sum(2 * true[label] / either[label] for label in either) / len(either)
        return {"accuracy": round(true.total() / rows, 6), "macro_f1": round(macro, 6), "labelled_rows": rows}


class ResultTally:
    """Counts results of any model against the right ones: classes as labels, numbers with a fraction by their distance.

    Tables in text hold numbers as texts, so classes are compared as texts.
    """

    def __init__(self) -> None:
        self._labels = Tally()
        self._numbers = 0
        self._distance = self._squares = 0.0

    def add(self, right: Any, said: Any) -> None:
        """Count one row; what is neither a class nor a number is not counted."""
        if isinstance(said, float):
            try:
                distance = abs(float(right) - said)
            except (TypeError, ValueError):
                return
            if math.isfinite(distance):
                self._numbers += 1
                self._distance += distance
                self._squares += distance * distance
        elif isinstance(said, str | int):
            self._labels.add(str(right), str(said))

    def figures(self) -> dict[str, Any]:
        """Return the figures of ``Tally``, and those of numbers.

        These are ``mean_absolute_error``, ``root_mean_squared_error`` and ``labelled_rows``.
        """
        figures = self._labels.figures()
        if self._numbers:
            figures["mean_absolute_error"] = round(self._distance / self._numbers, 6)
            figures["root_mean_squared_error"] = round(math.sqrt(self._squares / self._numbers), 6)
            figures["labelled_rows"] = figures.get("labelled_rows", 0) + self._numbers
        return figures

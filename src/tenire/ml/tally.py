"""How good labels are, counted as they come, where the right ones are known; without numpy."""

from __future__ import annotations

from collections import Counter
from typing import Any

__all__ = ["Tally"]


class Tally:
    """Counts labels against the right ones."""

    def __init__(self) -> None:
        self._pairs: Counter[tuple[Any, Any]] = Counter()

    def add(self, right: Any, said: Any) -> None:
        """Count one row."""
        self._pairs[right, said] += 1

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

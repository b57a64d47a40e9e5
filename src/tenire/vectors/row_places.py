"""Where each passage of one version of the table stands, and which passage stands where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

__all__ = ["RowPlaces"]


class RowPlaces:
    """The keys of passages and LanceDB's numbers of their rows, side by side; threads may share it.

    Args:
        keys: Of all passages, each once.
        rows: The row of each, all different.
    """

    def __init__(self, keys: NDArray[np.int64], rows: NDArray[np.uint64]) -> None:
        self._by_key = _ordered(keys, rows)
        # Passages are mostly stored in the order of their keys: then one order is the other.
        ordered = bool((self._by_key[1][:-1] < self._by_key[1][1:]).all())
        self._by_row = (self._by_key[1], self._by_key[0]) if ordered else _ordered(rows, keys)

    def rows_of(self, keys: Collection[int]) -> list[int]:
        """Return the rows of keys; a key that is not there is left out."""
        return _found(*self._by_key, np.fromiter(keys, np.int64, len(keys)))

    def keys_of(self, rows: NDArray[np.uint64]) -> list[int]:
        """Return the keys of rows, in their order; all of them must be there."""
        return _found(*self._by_row, rows)


def _ordered(first: NDArray, second: NDArray) -> tuple[NDArray, NDArray]:  # type: ignore[type-arg]  # of two kinds
    order = np.argsort(first)
    return first[order], second[order]


def _found(known: NDArray, values: NDArray, wanted: NDArray) -> list[int]:  # type: ignore[type-arg]  # of two kinds
    if not len(known):
        return []
    places = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    found: list[int] = values[places[known[places] == wanted]].tolist()
    return found

"""How one list becomes another in few steps, as Qt's models want to be told.

A view keeps its selection, its scroll position and its open editor across the steps,
which it would lose if its model were filled anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

__all__ = ["Differences", "Run", "differences", "runs"]

Key = TypeVar("Key", bound="Hashable")


@dataclass(frozen=True, slots=True)
class Run:
    """Rows that stand side by side.

    Attributes:
        first: The first of them.
        last: The last of them.
    """

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Differences:
    """Steps, to be carried out in this order.

    Attributes:
        removed: Rows to remove, the last ones first.
        moved: Whether those that stay stand in another order afterwards.
        inserted: Rows to insert, by where they stand in the end; the first ones first.
    """

    removed: tuple[Run, ...]
    moved: bool
    inserted: tuple[Run, ...]


def differences(old: Sequence[Key], new: Sequence[Key]) -> Differences:
    """Return the steps from one list of keys to another; in each of them a key stands once."""
    if old == new:
        return Differences((), False, ())
    before, after = set(old), set(new)
    removed = runs(row for row, key in enumerate(old) if key not in after)
    inserted = runs(row for row, key in enumerate(new) if key not in before)
    moved = [key for key in old if key in after] != [key for key in new if key in before]
    return Differences(tuple(reversed(removed)), moved, tuple(inserted))


def runs(rows: Iterable[int]) -> list[Run]:
    """Return ascending rows in runs."""
    found: list[Run] = []
    first = last = -2
    for row in rows:
        if row != last + 1:
            if last >= 0:
                found.append(Run(first, last))
            first = row
        last = row
    if last >= 0:
        found.append(Run(first, last))
    return found

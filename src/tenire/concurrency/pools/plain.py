"""What may be pickled and unpickled on the loop's own thread.

Pickling runs foreign code: a class's ``__reduce__``, or an import of a large
package when one of its objects comes back. That belongs on another thread. A few
numbers and short strings, alone or in the usual containers, take microseconds and
run no code but pickle's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["is_plain"]

_BUDGET = 32 << 10
_ATOM = 16
_CONTAINER = 256
"""What each is charged against the budget; so containers nest 128 deep at the most."""

_ATOMS = frozenset({int, float, bool, complex, type(None)})
_STRINGS = frozenset({str, bytes})
_SEQUENCES = frozenset({tuple, list, set, frozenset})


def is_plain(values: Iterable[Any]) -> bool:
    """Return whether all values are small and made of the plain built-in types.

    Subclasses do not count: they may bring code of their own.
    """
    return _left(values, _BUDGET) >= 0


def _left(values: Iterable[Any], budget: int) -> int:
    for value in values:
        kind = type(value)
        if kind in _ATOMS:
            budget -= _ATOM
        elif kind in _STRINGS:
            budget -= _ATOM + len(value)
        elif kind in _SEQUENCES:
            if budget > _CONTAINER:
                budget = _left(value, budget - _CONTAINER)
            else:
                return -1
        elif kind is dict and budget > _CONTAINER:
            budget = _left(value, budget - _CONTAINER)
            if budget >= 0:
                budget = _left(value.values(), budget)
        else:
            return -1
        if budget < 0:
            return budget
    return budget

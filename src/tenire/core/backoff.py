"""How long to wait before the next try.

"Full jitter" (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture
Blog, 2015): spread over the whole interval, so that many who failed together do
not come back together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

__all__ = ["full_jitter"]

_MOST_DOUBLINGS = 60  # beyond it 2 ** n no longer fits a float's exact range; the cap holds long before


def full_jitter(tries: int, *, base: float, cap: float, rng: random.Random) -> float:
    """Return a delay in seconds, drawn evenly from zero to the bound.

    Args:
        tries: Tries that failed so far, from 1.
        base: Bound after the first failure, seconds; doubles with each.
        cap: Bound that is never passed, seconds.
        rng: Where the chance comes from.
    """
    bound: float = min(cap, base * 2.0 ** min(max(0, tries - 1), _MOST_DOUBLINGS))
    return rng.uniform(0.0, bound)

"""Whether a request goes into a batch, which is cheap and late, or is asked now.

1. A way that somebody has chosen is the way.
2. What must be there before a batch is sure to be back, and before what a batch leaves
   undone could be asked again, is asked now.
3. Everything else goes where it costs less; if that is not known, or the same, it is asked now.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Mode", "in_batch"]


class Mode(StrEnum):
    """How requests are to be answered."""

    REALTIME = "realtime"
    BATCH = "batch"
    AUTO = "auto"


def in_batch(
    mode: Mode,
    *,
    left: float | None,
    window: float,
    spare: float,
    cost: int | None,
    batch_cost: int | None,
) -> bool:
    """Return whether a request goes into a batch.

    Args:
        mode: What somebody has chosen.
        left: Seconds until the reply must be there, or ``None`` if that does not matter.
        window: Seconds after which a batch has ended, one way or another.
        spare: Seconds that it takes then to ask for what the batch has left undone.
        cost: What it costs if it is asked now, or ``None`` if that is not known.
        batch_cost: What it costs in a batch, or ``None``.
    """
    if mode is not Mode.AUTO:
        return mode is Mode.BATCH
    if left is not None and left < window + spare:
        return False
    return cost is not None and batch_cost is not None and batch_cost < cost

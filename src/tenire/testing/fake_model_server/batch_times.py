"""How far a batch is at a time; pure, and the same for every provider's batches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tenire.testing.fake_model_server.settings import ServerSettings

__all__ = ["Progress", "progress"]


class Progress(NamedTuple):
    """How far a batch is.

    Attributes:
        part: Of its lines that is answered, from 0 to 1.
        ended: How it has ended: ``completed``, ``expired`` or ``cancelled``; ``None`` if it goes on.
    """

    part: float
    ended: str | None

    def lines(self, all_lines: int) -> int:
        """Return how many lines are answered."""
        return all_lines if self.part >= 1 else max(0, math.floor(self.part * all_lines))


def progress(settings: ServerSettings, began: float, cancelled: float | None, now: float) -> Progress:
    """Return how far a batch is.

    Args:
        settings: How long batches take, and when they expire.
        began: When it was made, seconds.
        cancelled: When somebody had it cancelled, or ``None``.
        now: Seconds.
    """
    expires = settings.batch_expires if settings.batch_expires is not None else math.inf
    whole = settings.batch_seconds
    done_at = began + whole
    until = min(done_at, began + expires, cancelled if cancelled is not None else math.inf)
    # Compared as times: their difference, divided, may come out short of the whole.
    part = 1.0 if min(now, until) >= done_at else (min(now, until) - began) / whole
    if now < until:
        return Progress(part, None)
    if cancelled is not None and until == cancelled:
        return Progress(part, "cancelled")
    return Progress(part, "completed" if part >= 1 else "expired")

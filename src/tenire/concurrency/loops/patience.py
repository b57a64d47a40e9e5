"""How long the thread of a loop is waited for that was told to end.

As long as its loop comes round, what it still has to do is bounded there, or must be
done however long it takes. One that does not come round stands in a call that blocks,
and nothing can end that from outside.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenire.concurrency.loops.portal import Portal

__all__ = ["ROUND_S", "STUCK_S", "Patience"]

ROUND_S = 0.25
"""For how long whoever waits for a loop's thread does so before it looks again."""
STUCK_S = 2.0
"""Seconds that a loop which was told to end may take to come round, before its thread is given up."""


class Patience:
    """Asks a loop again and again whether it still comes round.

    What counts is the time that was waited, not what a clock shows: a program that was
    stopped for an hour has waited for nobody.

    Args:
        portal: The way into the loop.
    """

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._silent = 0.0
        self._ask()

    def _ask(self) -> None:
        self._answered = threading.Event()
        self._portal.interrupt(self._answered.set)

    def over(self, waited: float) -> bool:
        """Take in for how many seconds its thread was waited for just now; return whether it is stuck."""
        if self._answered.is_set():
            self._silent = 0.0
            self._ask()
        else:
            self._silent += waited
        return self._silent >= STUCK_S

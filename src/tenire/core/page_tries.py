"""Whether a page that was not to be had is asked for once more.

What ended a try decides, not how often all others failed:

1. A browser or driver that went away is not the page's fault: the page is tried again in
   the next generation. A page that takes ``losses`` browsers with it is not: it may be
   what kills them.
2. A page that crashed is tried again in a new context, ``crashes`` times at most in all.
3. Whatever else went wrong would go wrong again.
"""

from __future__ import annotations

__all__ = ["PageTries"]


class PageTries:
    """The tries of one page.

    Args:
        losses: Lost browsers after which it is given up.
        crashes: Crashes after which it is given up.

    Attributes:
        lost: Browsers that were lost under it.
        crashed: How often it crashed.
    """

    __slots__ = ("_crashes", "_losses", "crashed", "lost")

    def __init__(self, *, losses: int = 8, crashes: int = 2) -> None:
        self._losses = losses
        self._crashes = crashes
        self.lost = 0
        self.crashed = 0

    def again_after_loss(self) -> bool:
        """Note that the browser or its driver was lost; return whether to try again."""
        self.lost += 1
        return self.lost < self._losses

    def again_after_crash(self) -> bool:
        """Note that the page crashed; return whether to try again."""
        self.crashed += 1
        return self.crashed < self._crashes

"""How urgent a call is that several wait for: as the most urgent of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.core.tasks import Priority

__all__ = ["Urgency"]


class Urgency:
    """The class of one call, which rises when somebody more urgent comes to wait for it, for good.

    Args:
        priority: Of the first who waits for it.

    Attributes:
        priority: Its class now.
    """

    __slots__ = ("_rises", "priority")

    def __init__(self, priority: Priority) -> None:
        self.priority = priority
        self._rises: set[Callable[[Priority], object]] = set()

    def rise(self, priority: Priority) -> None:
        """Be of this class from now on, if it is more urgent."""
        if priority < self.priority:
            self.priority = priority
            for rises in tuple(self._rises):
                rises(priority)

    def follow(self, rises: Callable[[Priority], object]) -> None:
        """Have a function, which makes what waits rise with the call, be told of a new class until ``leave``."""
        self._rises.add(rises)

    def leave(self, rises: Callable[[Priority], object]) -> None:
        """Tell it no more."""
        self._rises.discard(rises)

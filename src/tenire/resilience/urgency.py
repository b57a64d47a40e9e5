"""How urgent a call is that several wait for: as the most urgent of them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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

    @contextmanager
    def followed(self, rises: Callable[[Priority], object]) -> Iterator[None]:
        """Have a function be told of a new class while the block runs.

        Args:
            rises: What makes what waits rise with it.
        """
        self._rises.add(rises)
        try:
            yield
        finally:
            self._rises.discard(rises)

"""One thing that a timer will call."""

from __future__ import annotations

from types import MethodType
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod

from tenire.core.deadlines import Entry
from tenire.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.concurrency.timer.shared_heap import SharedHeap
    from tenire.core.missed_ticks import Missed

__all__ = ["Flexible", "Timeout"]


class Timeout(Entry[Any]):
    """One thing that the timer will call; made by ``UniversalTimer``.

    A bound method is held weakly: a timer never keeps its owner alive, a dead owner is
    never called, and what is left of its timeout goes with it.

    Attributes:
        due: When it will be called next, nanoseconds of the engine's clock.
        ended: Whether it was cancelled, or has made its last call.
        slack: Nanoseconds by which it may come later.
        period: Nanoseconds between two calls; 0 for one call.
        missed: What becomes of ticks that could not be made in time.
    """

    __slots__ = ("_heap", "ended")

    slack: int = 0
    period: int = 0
    missed: Missed = "skip"

    def __init__(self, heap: SharedHeap, due: int, callback: Callable[[], object]) -> None:
        if not callable(callback):
            message = f"a timer calls a plain function, got {callback!r}"
            raise ConfigError(message, key="callback")
        # All that the base does, here: there may be hundreds of thousands of these.
        self.due = due
        try:
            self.payload: Any = WeakMethod(callback, self._bereave) if type(callback) is MethodType else callback
        except TypeError as error:
            message = f"a method to call must belong to what can be referred to weakly, got {callback!r}: {error}"
            hint = 'add "__weakref__" to the __slots__ of its class, or pass a function that calls it'
            raise ConfigError(message, key="callback", hint=hint) from error
        self.ended = False
        self._heap = heap

    def cancel(self) -> bool:
        """Never call it again, from any thread; return whether it was still to come."""
        heap = self._heap
        with heap.lock:
            if self.ended:
                return False
            self.ended = True
            heap.cancel(self)
        return True

    @property
    def active(self) -> bool:
        """Whether it is still to come."""
        return not self.ended

    def _bereave(self, _: object) -> None:
        # In the middle of a collection, on any thread: no lock may be taken here.
        self.ended = True
        self._heap.bereaved.append(self)


class Flexible(Timeout):
    """A timeout that is periodic, or may come later."""

    __slots__ = ("missed", "period", "slack")

    def __init__(
        self, heap: SharedHeap, due: int, callback: Callable[[], object], slack: int, period: int, missed: Missed
    ) -> None:
        super().__init__(heap, due, callback)
        self.slack = slack
        self.period = period
        self.missed = missed

"""One that events are for: what waits for it, and who waits for room in that."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Protocol

from tenire.core.event_queue import EventQueue

if TYPE_CHECKING:
    import threading
    from collections import deque
    from collections.abc import Callable

    from tenire.core.event_queue import QueuePolicy

__all__ = ["ANYWHERE", "NOWHERE", "Hub", "Subscriber"]

ANYWHERE, NOWHERE = object(), object()


class Hub(Protocol):
    """What subscribers know of ``Signals``."""

    lock: threading.RLock  # type: ignore[valid-type,unused-ignore]
    gone: deque[Subscriber]
    refused: deque[Subscriber]

    def remove(self, subscriber: Subscriber) -> None:
        """Send it nothing more."""

    def check(self) -> None:
        """Raise ``RejectedError`` in a fork."""


class Subscriber:
    """Gets the events of one type and of its subclasses.

    Attributes:
        event: The type.
        place: On which running loop an emitter delivers to it directly; or ``ANYWHERE``, ``NOWHERE``.
        busy: What delivers an event to it, or ``False``; changes to something under the hub's lock.
            Who was interrupted knows by it what is left to do.
        runner: The thread that delivers, or is about to, if emitters could have to wait for it.
        blocks: Whether emitters wait while it has no room.
        queue: What waits to be delivered; changes under the hub's lock.
        ended: Whether no event will be taken in any more.
        room: What to call when there is room, or never will be; see ``core.event_queue``.
    """

    __slots__ = ("_hub", "blocks", "busy", "ended", "event", "place", "queue", "room", "runner")

    def __init__(self, hub: Hub, event: type[Any], place: object, policy: QueuePolicy, capacity: int) -> None:
        self._hub = hub
        self.event = event
        self.place = place
        self.busy: object = False
        self.runner = 0
        self.queue: EventQueue[Any] = EventQueue(policy, capacity)
        self.blocks = policy == "block"
        self.ended = False
        self.room: list[Callable[[], object]] = []

    def run(self, event: object) -> None:
        """Deliver an event at once, to one that was made busy for it and is not any more afterwards."""
        raise NotImplementedError

    def give_back(self, event: object) -> None:
        """Let an event wait after all that was to be delivered now, before all others; under the lock."""
        self.busy = False
        self.queue.give_back(event)

    def wake(self) -> None:
        """See to it that what waits is delivered; without the lock."""
        raise NotImplementedError

    def end(self) -> None:
        """Take in no more, and wake who waits for room."""
        self.ended = True
        self.let_in()

    def let_in(self) -> None:
        """Tell those who wait for room to look again."""
        if self.room:
            for look_again in tuple(self.room):
                with contextlib.suppress(RuntimeError):  # its loop is closed, and whoever waited gone with it
                    look_again()
                # Not before: after an interrupt in between nobody would ever tell it.
                self.forget(look_again)

    def vanish(self) -> None:
        """Get no more events, since its owner is gone; perhaps in the middle of a collection, on any thread.

        So no lock may be taken here. The hub takes it out when it looks next, as those do who
        wait for room here, and are told.
        """
        self.ended = True
        self._hub.gone.append(self)
        self.have_looked()

    def have_looked(self) -> None:
        """Have those who wait for room look again, and wait on unless there is some; takes no lock."""
        for look_again in tuple(self.room):
            with contextlib.suppress(RuntimeError):  # its loop is closed, or it has been told before
                look_again()

    def forget(self, look_again: Callable[[], object]) -> None:
        """Do not tell this one when there is room."""
        with self._hub.lock:
            if look_again in self.room:
                self.room.remove(look_again)

    def waits_for_itself(self) -> bool:
        """Return whether the caller would wait for room that only it can make."""
        return False

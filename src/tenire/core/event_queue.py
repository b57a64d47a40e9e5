"""What waits for one subscriber: bounded, in order, and never without what must not be lost.

1. Events come out in the order in which they were taken in.
2. At most ``capacity`` of them wait, terminal ones not counted: there are few of
   these, and no policy loses one or refuses one.
3. When there is no room, ``latest`` and ``drop_oldest`` drop what has waited longest,
   and count it; ``block`` refuses the new one, which then waits outside. ``latest`` is
   room for one.
4. Whatever an interrupt (Ctrl-C) leaves undone, ``size`` agrees with what waits: it
   changes next to the one call that puts an event in or takes one out.
"""

from __future__ import annotations

from collections import deque
from itertools import count
from typing import Generic, Literal, TypeVar

from tenire.errors import ConfigError

__all__ = ["CAPACITY", "EventQueue", "QueuePolicy"]

Event = TypeVar("Event")

QueuePolicy = Literal["latest", "drop_oldest", "block"]

CAPACITY = 1024

_POLICIES = ("latest", "drop_oldest", "block")


class EventQueue(Generic[Event]):
    """A bounded queue of events.

    Args:
        policy: What to do when there is no room.
        capacity: Events that may wait, at least 1; with ``latest`` it is 1.

    Attributes:
        policy: As given.
        capacity: As given, or 1.
        size: Events that wait.
        dropped: Events that were dropped.

    Raises:
        ConfigError: If there is no such policy, or the capacity is impossible.
    """

    __slots__ = ("_front", "_order", "_ordinary", "_terminal", "capacity", "dropped", "policy", "size")

    def __init__(self, policy: QueuePolicy = "drop_oldest", capacity: int = CAPACITY) -> None:
        if policy not in _POLICIES:
            message = f"policy must be one of {', '.join(_POLICIES)}, got {policy!r}"
            raise ConfigError(message, key="policy")
        if isinstance(capacity, bool) or not isinstance(capacity, int) or capacity < 1:
            message = f"capacity must be a whole number of events, at least 1, got {capacity!r}"
            raise ConfigError(message, key="capacity")
        self.policy = policy
        self.capacity = 1 if policy == "latest" else capacity
        self.size = 0
        self.dropped = 0
        self._order = count()
        self._front = count(-1, -1)
        self._ordinary: deque[tuple[int, Event]] = deque()
        self._terminal: deque[tuple[int, Event]] = deque()

    @property
    def full(self) -> bool:
        """Whether an event that is not terminal would be refused."""
        return self.policy == "block" and len(self._ordinary) >= self.capacity

    def put(self, event: Event, *, terminal: bool = False, insist: bool = False) -> bool:
        """Take in an event; return whether there was room, or it was made.

        Args:
            event: The event.
            terminal: Whether it must not be lost.
            insist: Do not refuse it; with ``block`` too, drop what has waited longest.
        """
        if terminal:
            events = self._terminal
        else:
            events = self._ordinary
            if len(events) >= self.capacity:
                if self.policy == "block" and not insist:
                    return False
                self.dropped += 1
                self.size -= 1
                events.popleft()
        place = next(self._order)
        self.size += 1
        events.append((place, event))
        return True

    def give_back(self, event: Event) -> None:
        """Put an event before all others; it was taken out, or should have gone before them, and takes no room."""
        place = next(self._front)
        self.size += 1
        self._terminal.appendleft((place, event))

    def take(self) -> Event:
        """Take out the event that came first.

        Raises:
            IndexError: If there is none.
        """
        ordinary, terminal = self._ordinary, self._terminal
        first = terminal if terminal and (not ordinary or terminal[0][0] < ordinary[0][0]) else ordinary
        event = first[0][1]
        self.size -= 1
        first.popleft()
        return event

    def clear(self) -> None:
        """Forget all events."""
        self._ordinary, self._terminal, self.size = deque(), deque(), 0

    def __len__(self) -> int:
        return self.size

    def check(self) -> None:
        """Verify the rules."""
        assert len(self._ordinary) <= self.capacity
        assert self.size == len(self._ordinary) + len(self._terminal)
        for events in (self._ordinary, self._terminal):
            orders = [order for order, _ in events]
            assert orders == sorted(set(orders))

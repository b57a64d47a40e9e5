"""The hub: who gets which event, and who has to wait until there is room for it.

1. ``emit`` decides under one lock for all subscribers at once; it delivers without it.
2. Each subscriber gets the events in the order in which they were emitted. All of its
   subscribers get an event, or, while one that must not lose any has no room, none.
3. What was emitted before ``close`` is delivered; nothing after it, and nobody waits
   any more.
4. An interrupt, at whatever point it comes, leaves nobody busy for ever: who was to be
   called, and was not, gets the event before all newer ones.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from tenire.concurrency.loops.forks import FORKED, on_fork
from tenire.concurrency.signals.knocking import knock, running_loop
from tenire.concurrency.signals.stream import Inbox, Stream
from tenire.concurrency.signals.subscriber import ANYWHERE
from tenire.concurrency.signals.subscription import Subscription
from tenire.concurrency.waiting import acquire
from tenire.core.event_queue import CAPACITY
from tenire.errors import ConfigError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tenire.concurrency.signals.subscriber import Subscriber
    from tenire.core.event_queue import QueuePolicy

    On = asyncio.AbstractEventLoop | Callable[[Callable[[], object]], object] | Literal["emitter"] | None

__all__ = ["Signals"]

Event = TypeVar("Event")

_MOST_TYPES = 1024

_log = logging.getLogger("tenire.signals")


class Signals:
    """Delivers events, which are objects of any class, to those who subscribed to it.

    An event is terminal if its class says ``terminal = True``: it tells that something
    has ended, and no policy loses it.

    All methods may be called from any thread.

    Attributes:
        lock: Held while it is decided who gets what.
        gone: Subscribers whose owners are gone.
        refused: Subscribers for whom a turn was refused; the next event asks again.
    """

    def __init__(self) -> None:
        # Taken again by the same thread if a finaliser, which may run anywhere, emits something.
        self.lock = threading.RLock()
        self.gone: deque[Subscriber] = deque()
        self.refused: deque[Subscriber] = deque()
        self._subscribers: dict[Subscriber, None] = {}  # in the order of subscribing
        self._of_type: dict[type[Any], tuple[Subscriber, ...]] = {}
        self._closed = self._forked = False
        on_fork(self)

    # -- listening --------------------------------------------------------

    def subscribe(
        self,
        event: type[Event],
        listener: Callable[[Event], object],
        *,
        on: On = None,
        policy: QueuePolicy = "drop_oldest",
        capacity: int = CAPACITY,
    ) -> Subscription:
        """Call ``listener(event)`` for every event of a type, or of its subclasses, from now on.

        Args:
            event: The type; ``object`` for all events.
            listener: A plain function, which must not block. A bound method is held weakly.
            on: Where to call it: on a loop, or through a function that has a function
                called somewhere (``portal.post``), and raises ``RejectedError`` while it
                cannot; ``"emitter"``: at once, by whoever emits. Default: on the loop that
                runs here; if there is none, as ``"emitter"``.
            policy: When more than ``capacity`` events wait: ``"latest"`` keeps the newest
                only, ``"drop_oldest"`` drops and counts, ``"block"`` lets ``emit`` wait.
            capacity: Events that may wait.

        Raises:
            ConfigError: If an argument is impossible.
            RejectedError: In a child process made by ``fork``, which no event reaches.
        """
        place = running_loop() if on is None else None if on == "emitter" else on
        if not (place is None or isinstance(place, asyncio.AbstractEventLoop) or callable(place)):
            message = f'on must be a loop, a function that takes a function, "emitter" or None, got {on!r}'
            raise ConfigError(message, key="on")
        subscription = Subscription(self, _type(event), listener, place, policy, capacity)
        self._add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Stop calling a listener; does nothing if it was not subscribed."""
        subscription.cancel()

    def stream(
        self, event: type[Event], *, policy: QueuePolicy = "drop_oldest", capacity: int = CAPACITY
    ) -> Stream[Event]:
        """Return the events of a type, or of its subclasses, from now on, to iterate over.

        ``async for event in signals.stream(Type)`` in a coroutine, ``for`` or ``get`` in
        a thread. See ``subscribe`` for the arguments.
        """
        inbox = Inbox(self, _type(event), policy, capacity)
        self._add(inbox)
        return Stream(self, inbox)

    # -- emitting ---------------------------------------------------------

    def emit(self, event: object) -> int:
        """Send an event; return how many get it.

        A listener that belongs here is called now, unless older events wait for it; one
        that raises is logged and does not keep the event from the others. Nor does one
        that raises ``SystemExit`` or ``KeyboardInterrupt``, which end the program from here.

        Raises:
            RuntimeError: If a subscriber that lets emitters wait has no room, and this is
                the thread of a running loop (use ``aemit``), or that subscriber itself.
                Nobody got the event.
            RejectedError: In a child process made by ``fork``, which has none of the subscribers.
        """
        while (receivers := self._send(event)) is None:
            self._wait(event)
        return receivers

    def post(self, event: object) -> int:
        """Send an event as ``emit`` does, but never wait.

        A subscriber that lets emitters wait, and has no room, drops and counts what has
        waited longest. The engine sends its own events in this way.
        """
        receivers = self._send(event, insist=True)
        assert receivers is not None
        return receivers

    async def aemit(self, event: object) -> int:
        """Send an event as ``emit`` does, and wait without blocking the loop while there is no room."""
        loop = asyncio.get_running_loop()
        while (receivers := self._send(event)) is None:
            future, arrive = knock(loop)
            full = self._wait_at(event, arrive)
            if full is not None:
                try:
                    await future
                finally:
                    full.forget(arrive)
        return receivers

    def close(self) -> None:
        """Take in no more events, and wake all who wait; what was emitted is still delivered."""
        with self.lock:
            self._closed = True
            subscribers = tuple(self._subscribers)
            self._subscribers.clear()
            self._of_type.clear()
        for subscriber in subscribers:
            subscriber.end()
        for subscriber in subscribers:
            if subscriber.queue.size:  # the last chance of those for whom a turn was refused
                subscriber.wake()

    def forked(self) -> None:
        """Refuse everything in a child process made by ``fork``; see ``loops.forks``."""
        if self.lock.acquire(blocking=False):
            self.lock.release()
        else:  # a thread had it that only the parent has
            self.lock = threading.RLock()
        for subscriber in self._subscribers:
            subscriber.ended = True
        self._subscribers.clear()
        self._of_type.clear()  # who looks for subscribers finds the refusal
        self._closed = self._forked = True

    def check(self) -> None:
        """Raise what is raised for whatever is asked of a fork.

        Raises:
            RejectedError: If this is one.
        """
        if self._forked:
            message = f"no signal comes here or leaves: {FORKED}"
            raise RejectedError(message)

    # -- inside -----------------------------------------------------------

    def remove(self, subscriber: Subscriber) -> None:
        """Send it nothing more; see ``unsubscribe``."""
        with self.lock:
            if subscriber in self._subscribers:
                del self._subscribers[subscriber]
                self._of_type.clear()
        subscriber.end()

    def _add(self, subscriber: Subscriber) -> None:
        with self.lock:
            self._bury()
            if self._closed:
                subscriber.ended = True
                self.check()
                return
            self._subscribers[subscriber] = None
            self._of_type.clear()

    def _bury(self) -> None:
        while self.gone:
            self.remove(self.gone.popleft())

    def _targets(self, kind: type[Any]) -> tuple[Subscriber, ...]:
        targets = self._of_type.get(kind)
        if targets is None:
            self.check()
            if len(self._of_type) >= _MOST_TYPES:
                self._of_type.clear()
            targets = tuple(each for each in self._subscribers if issubclass(kind, each.event))
            self._of_type[kind] = targets
        return targets

    def _send(self, event: object, *, insist: bool = False) -> int | None:
        """Deliver an event to all subscribers, or see to it; return how many, or ``None`` if one has no room."""
        # Those to deliver to now, and those for whom the event waits. Made here, so that an interrupt
        # at any point leaves nobody busy with what nobody does any more.
        direct: list[Subscriber] = []
        waiting: list[Subscriber] = []
        try:
            if not self._offer(event, direct, waiting, insist):
                return None
            for subscriber in direct:
                subscriber.run(event)
                if subscriber.queue.size:  # since it was busy
                    subscriber.wake()
            for subscriber in waiting:
                subscriber.wake()
            if self.refused:
                self._ask_again()
        except BaseException:  # the program is being ended, by one of them or from outside
            self._bring_to_the_others(event, direct, waiting)
            raise
        return len(direct) + len(waiting)

    def _offer(self, event: object, direct: list[Subscriber], waiting: list[Subscriber], insist: bool) -> bool:
        """Let all subscribers have an event; return ``False`` if one of them has no room."""
        running = running_loop()
        kind = type(event)
        terminal = _is_terminal(kind)
        with self.lock:
            if self.gone:
                self._bury()
            targets = self._targets(kind)
            if not (terminal or insist) and self._full(targets) is not None:
                return False
            for target in targets:
                place = target.place
                if (place is running or place is ANYWHERE) and not (target.busy or target.queue.size):
                    if target.blocks:
                        target.runner = threading.get_ident()
                    direct.append(target)
                    target.busy = direct
                else:
                    waiting.append(target)
                    target.queue.put(event, terminal=terminal, insist=insist)
        return True

    def _bring_to_the_others(self, event: object, direct: list[Subscriber], waiting: list[Subscriber]) -> None:
        with self.lock:
            for subscriber in direct:
                if subscriber.busy is direct:  # nobody has called it yet
                    subscriber.give_back(event)
        for subscriber in (*direct, *waiting):
            try:
                if subscriber.queue.size:
                    subscriber.wake()
            except BaseException as error:  # noqa: BLE001 - the first is raised; this keeps nothing from the rest
                _log.error("a listener of %s ended the program too: %r", type(event).__name__, error)

    def _ask_again(self) -> None:
        for _ in range(len(self.refused)):
            try:
                subscriber = self.refused.popleft()
            except IndexError:  # another thread was faster
                return
            if subscriber.queue.size:
                subscriber.wake()

    def _full(self, targets: Iterable[Subscriber]) -> Subscriber | None:
        for target in targets:
            if target.blocks and target.queue.full:
                return target
        return None

    def _wait_at(self, event: object, arrive: Callable[[], object]) -> Subscriber | None:
        """Have ``arrive`` called when a subscriber that has no room may have some; return that one."""
        if self.refused:  # perhaps it is one of these
            self._ask_again()
        with self.lock:
            full = self._full(self._targets(type(event)))
            if full is None:
                return None
            full.room.append(arrive)
        try:
            # Its loop may have been closed before the turn came that would have made room. From here
            # on a turn that is lost is told to all who stand in ``room``.
            full.wake()
        except BaseException:
            full.forget(arrive)
            raise
        if full.ended:  # it is given up now; or its owner went just before, and may have looked there earlier
            full.forget(arrive)
            return None
        return full

    def _wait(self, event: object) -> None:
        """Wait until there may be room."""
        # A plain lock: who frees it may be a finaliser that runs in the midst of this very wait.
        arrived = threading.Lock()
        arrived.acquire()
        arrive = arrived.release
        full = self._wait_at(event, arrive)
        if full is None:
            return
        try:
            running = running_loop()
            if running is not None or full.waits_for_itself():
                raise RuntimeError(_no_room(type(event), full, running))
            acquire(arrived, None)
        finally:
            full.forget(arrive)


def _is_terminal(kind: type[Any]) -> bool:
    return getattr(kind, "terminal", False) is True


def _type(event: type[Event]) -> type[Event]:
    if not isinstance(event, type):
        message = f"the type of an event must be a class, got {event!r}"
        raise ConfigError(message, key="event")
    return event


def _no_room(kind: type[Any], target: Subscriber, running: object) -> str:
    what = (
        f"{kind.__name__} would have to wait: {target.queue.capacity} events wait for a subscriber that may lose none"
    )
    if running is not None:
        return f"{what}, and this would block the event loop; use: await signals.aemit(event)"
    return f"{what}, and only this thread, which is its listener, could make room"

"""A listener: a function that is called with each event, where it belongs.

::

    emit ──► directly, if the caller is where the listener belongs and nothing waits
        └──► queue ──► one turn of its loop ──► up to ``PER_TURN`` calls, then another turn

1. One call at a time, in the order in which the events were emitted. What a listener
   emits itself reaches it after it has returned.
2. A bound method is held weakly; when its owner goes, the subscription goes with it.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from contextvars import copy_context
from threading import get_ident
from types import MethodType
from typing import TYPE_CHECKING, Any
from weakref import ref

from tenire.concurrency.signals.subscriber import ANYWHERE, NOWHERE, Subscriber
from tenire.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.concurrency.signals.subscriber import Hub
    from tenire.core.event_queue import QueuePolicy

    Place = asyncio.AbstractEventLoop | Callable[[Callable[[], object]], object] | None

__all__ = ["PER_TURN", "Subscription"]

PER_TURN = 100

_log = logging.getLogger("tenire.signals")


class Subscription(Subscriber):
    """One listener of one type of event; made by ``Signals.subscribe``.

    Attributes:
        event: The type.
        ended: Whether it gets no more events.
    """

    __slots__ = ("__weakref__", "_call", "_context", "_planned", "_post", "loop")

    def __init__(
        self,
        hub: Hub,
        event: type[Any],
        listener: Callable[[Any], object],
        place: Place,
        policy: QueuePolicy,
        capacity: int,
    ) -> None:
        if not callable(listener) or inspect.iscoroutinefunction(listener):
            message = f"a listener must be a plain function of one event, got {listener!r}"
            raise ConfigError(message, key="listener", hint="in a coroutine use: async for event in signals.stream(…)")
        self.loop = place if isinstance(place, asyncio.AbstractEventLoop) else None
        self._post = None if isinstance(place, asyncio.AbstractEventLoop) else place
        where = ANYWHERE if place is None else self.loop or NOWHERE
        super().__init__(hub, event, where, policy, capacity)
        # A method in its two parts: made whole again for each event, it would cost as much as all the rest.
        self._call: Any = self._parts(listener) if type(listener) is MethodType else listener
        self._context = copy_context() if place is not None else None
        self._planned = False

    @property
    def dropped(self) -> int:
        """Events that were dropped because too many waited."""
        return self.queue.dropped

    @property
    def waiting(self) -> int:
        """Events that wait to be delivered."""
        return len(self.queue)

    def cancel(self) -> None:
        """Get no more events, from any thread; those that wait are dropped."""
        with self._hub.lock:
            self.queue.clear()
            self._call = None
        self._hub.remove(self)

    def waits_for_itself(self) -> bool:
        """See ``Subscriber``."""
        return self.busy and self.runner == get_ident()

    # -- for the hub ------------------------------------------------------

    def run(self, event: object) -> None:
        """See ``Subscriber``."""
        call = self._call
        try:
            if type(call) is tuple:
                owner, function = call[0](), call[1]()
                if owner is not None and function is not None:
                    function(owner, event)
            elif call is not None:
                call(event)
        except Exception:  # noqa: BLE001 - foreign code; logged, and the others get the event
            _log.exception("a listener of %s failed", type(event).__name__)
        finally:
            # First free, then a look at what waits; whoever puts something there does both the
            # other way round. So one of the two sees it, without a lock.
            self.busy = False

    def give_back(self, event: object) -> None:
        """See ``Subscriber``."""
        with self._hub.lock:
            self.busy = False
            self.queue.put(event, terminal=True)  # there was room for it

    def wake(self) -> None:
        """See ``Subscriber``."""
        if self.loop is None and self._post is None:
            while self._deliver():
                pass
        elif not (self._planned or self.busy):
            self._planned = True
            try:
                self._plan()
            except Exception as error:  # noqa: BLE001 - its loop is closed, or what it gave us fails
                _log.warning("a listener of %s is given up: it cannot be reached: %r", self.event.__name__, error)
                self.cancel()

    def _plan(self) -> None:
        if self.loop is not None:
            self.loop.call_soon_threadsafe(self._turn, context=self._context)
        elif self._post is not None:
            self._post(self._turn)

    def _turn(self) -> None:
        self._planned = False
        for _ in range(PER_TURN):
            if not self._deliver():
                return
        if self.queue.size:
            self.wake()

    def _deliver(self) -> bool:
        """Deliver one event that waits; return whether there was one, and nobody else does it."""
        with self._hub.lock:
            if self.busy or not self.queue.size:
                return False
            event = self.queue.take()
            self.busy = True
            self.runner = get_ident()
        self.let_in()
        self.run(event)
        return True

    def _parts(self, method: MethodType) -> tuple[ref[Any], ref[Any]]:
        try:
            return ref(method.__self__, self._bereave), ref(method.__func__, self._bereave)
        except TypeError as error:
            message = f"a method that listens must belong to what can be referred to weakly, got {method!r}: {error}"
            hint = 'add "__weakref__" to the __slots__ of its class, or subscribe a function that calls it'
            raise ConfigError(message, key="listener", hint=hint) from error

    def _bereave(self, _: object) -> None:
        self._call = None  # a part of it leads back here
        self.vanish()

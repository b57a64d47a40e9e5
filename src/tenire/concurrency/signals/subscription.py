"""A listener: a function that is called with each event, where it belongs.

::

    emit ──► directly, if the caller is where the listener belongs and nothing waits
        └──► queue ──► one turn of its loop ──► up to ``PER_TURN`` calls, then another turn;
                                                all that are left, once the signals are closed

1. One call at a time, in the order in which the events were emitted. What a listener
   emits itself reaches it after it has returned.
2. A bound method is held weakly; when its owner goes, the subscription goes with it.
3. A turn that is refused for a moment costs nothing: the events wait, and the next event
   of any type asks again. A listener is given up only when it can never be reached.
4. Who waits for room looks again as soon as the turn that would make some is lost: no
   loop tells that it was closed, but it lets go of its turns then.
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
from tenire.errors import ConfigError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.concurrency.signals.subscriber import Hub
    from tenire.core.event_queue import QueuePolicy

    Place = asyncio.AbstractEventLoop | Callable[[Callable[[], object]], object] | None

__all__ = ["PER_TURN", "Subscription"]

PER_TURN = 100

_log = logging.getLogger("tenire.signals")


class _Turn:
    """A turn that was asked for. While it exists it may still come: then no other is asked for."""

    __slots__ = ("__weakref__", "_subscription")

    must_arrive = True  # see ``Portal.post``

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription

    def __call__(self) -> None:
        self._subscription.turn()


class _Planned(ref[_Turn]):
    """Knows whether a turn may still come.

    Attributes:
        kept: Whether whoever was asked to call it has kept it at first.
    """

    __slots__ = ("kept",)
    kept: bool


class Subscription(Subscriber):
    """One listener of one type of event; made by ``Signals.subscribe``.

    Attributes:
        event: The type.
        ended: Whether it gets no more events.
    """

    __slots__ = ("__weakref__", "_call", "_context", "_planned", "_post", "_refused", "loop")

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
        # Not a flag: whoever was to call the turn may be interrupted, or forget it, and says so to nobody.
        self._planned: _Planned | None = None
        self._refused = False

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
        return bool(self.busy) and self.runner == get_ident()

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

    def wake(self) -> None:
        """See ``Subscriber``."""
        if self.loop is None and self._post is None:
            self._deliver_all()
        elif not self.busy and (self._planned is None or self._planned() is None):
            self._plan()

    def turn(self) -> None:
        """Deliver some of what waits, where the listener belongs."""
        self._planned = None
        # No more come once it has ended, and the loop may not have many turns left.
        most = self.queue.size if self.ended else PER_TURN
        try:
            for _ in range(most):
                if not self._deliver():
                    return
        finally:  # also when the listener ends the program, which may take some turns more
            if self.queue.size:
                self.wake()

    def _plan(self) -> None:
        turn = _Turn(self)
        planned = self._planned = _Planned(turn, self._lost)
        planned.kept = False
        try:
            if self.loop is not None:
                self.loop.call_soon_threadsafe(turn, context=self._context)
                if self.loop.is_closed():  # in the midst of that: the turn may lie where nobody looks any more
                    self._give_up(RuntimeError("Event loop is closed"))
            elif self._post is not None:
                self._post(turn)
        except RejectedError as error:
            self._planned = None
            if self.ended:  # nobody will ask again
                self._give_up(error)
                return
            if not self._refused:
                self._refused = True
                _log.warning("a listener of %s is not reached for now; its events wait: %s", self.event.__name__, error)
            if self not in self._hub.refused:  # however often emitters ask
                self._hub.refused.append(self)
        except Exception as error:  # noqa: BLE001 - its loop is closed, or what it gave us fails
            self._give_up(error)
        else:
            self._refused = False
        finally:
            del turn
            planned.kept = True

    def _lost(self, planned: _Planned) -> None:
        """Have emitters look again, since the turn that would have made room comes no more; on any thread.

        A loop that is closed forgets its turns, and tells nobody. Whoever forgets one at once does so
        with each: emitters would ask again without end.
        """
        if planned.kept:
            self.have_looked()

    def _give_up(self, error: Exception) -> None:
        if self._call is not None:
            name, lost = self.event.__name__, self.waiting
            _log.warning("a listener of %s is given up, %d events lost: it cannot be reached: %r", name, lost, error)
        self.cancel()

    def _deliver_all(self) -> None:
        ending: BaseException | None = None
        try:
            while True:
                try:
                    if not self._deliver():
                        break
                except Exception:  # no listener's
                    raise
                except BaseException as error:  # noqa: BLE001 - ends the program, once what waits is delivered
                    ending = ending or error
            if ending is not None:
                raise ending
        finally:
            del ending  # its traceback holds this frame

    def _deliver(self) -> bool:
        """Deliver one event that waits; return whether there was one, and nobody else does it."""
        taken: list[Any] = []
        try:
            with self._hub.lock:
                if self.busy or not self.queue.size:
                    return False
                self.runner = get_ident()
                self.busy = taken
                taken.append(self.queue.take())
            self.let_in()
            self.run(taken[0])
        except BaseException:
            with self._hub.lock:
                if self.busy is taken:  # interrupted before the listener was called
                    self.busy = False
                    for event in taken:
                        self.give_back(event)
            raise
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

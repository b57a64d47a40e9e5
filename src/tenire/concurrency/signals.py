"""Typed events from the engine to whoever listens."""

from __future__ import annotations

import inspect
import logging
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Signals", "Subscription"]

Event = TypeVar("Event")

_log = logging.getLogger("tenire.signals")


class Subscription:
    """One listener of one type of event."""

    __slots__ = ("_call", "_weak", "event")

    def __init__(self, event: type[Any], listener: Callable[[Any], object]) -> None:
        self.event = event
        self._weak = inspect.ismethod(listener)
        self._call: Any = weakref.WeakMethod(listener) if self._weak else listener

    def listener(self) -> Callable[[Any], object] | None:
        """Return the listener, or ``None`` if its owner is gone."""
        return self._call() if self._weak else self._call  # type: ignore[no-any-return]


class Signals:
    """Delivers events to listeners, in the order of subscribing.

    A bound method is held weakly: listening never keeps an object alive.
    """

    def __init__(self) -> None:
        self._subscriptions: dict[type[Any], list[Subscription]] = {}

    def subscribe(self, event: type[Event], listener: Callable[[Event], object]) -> Subscription:
        """Call ``listener(event)`` for every event of this type from now on."""
        subscription = Subscription(event, listener)
        self._subscriptions.setdefault(event, []).append(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Stop calling a listener; does nothing if it was not subscribed."""
        subscriptions = self._subscriptions.get(subscription.event, [])
        if subscription in subscriptions:
            subscriptions.remove(subscription)

    def emit(self, event: object) -> int:
        """Deliver an event now; return how many listeners got it.

        A listener that raises does not keep the event from the others; its error
        is logged.
        """
        delivered = 0
        for subscription in tuple(self._subscriptions.get(type(event), ())):
            listener = subscription.listener()
            if listener is None:
                self.unsubscribe(subscription)
                continue
            delivered += 1
            try:
                listener(event)
            except Exception:  # noqa: BLE001 - foreign code; logged, and the others get the event
                _log.exception("a listener of %s failed", type(event).__name__)
        return delivered

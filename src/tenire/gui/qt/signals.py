"""The engine's events as Qt signals, and Qt signals as the engine's events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from tenire.gui.binding import QtCore, Signal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.concurrency.signals import Signals, Subscription
    from tenire.core.event_queue import QueuePolicy
    from tenire.gui.binding import SignalInstance
    from tenire.gui.qt.frames import Frames

__all__ = ["QtSignals"]

Event = TypeVar("Event")

_CAPACITY = 10_000


class _Outlet(QtCore.QObject):
    """One type of event, as a signal."""

    received = Signal(object)

    def __init__(self, parent: QtCore.QObject) -> None:
        super().__init__(parent)
        self.subscription: Subscription | None = None


class QtSignals(QtCore.QObject):
    """Bridges ``manager.signals`` and Qt.

    Events reach slots in the GUI thread, at most once a frame, in the order in which they
    were emitted; as always in Qt, a connection ends with its receiver.

    Args:
        signals: The engine's.
        frames: At whose pace they come.
        parent: With what it ends.
    """

    def __init__(self, signals: Signals, frames: Frames, parent: QtCore.QObject | None = None) -> None:
        super().__init__(parent)
        self._signals = signals
        self._frames = frames
        self._outlets: dict[tuple[type[Any], QueuePolicy], _Outlet] = {}

    def of(self, event: type[Event], *, policy: QueuePolicy = "drop_oldest") -> SignalInstance:
        """Return the signal of a type of events and of its subclasses: ``bridge.of(Progress).connect(slot)``.

        Args:
            event: The type.
            policy: ``drop_oldest`` brings all, and drops and counts beyond 10,000 that
                wait; ``latest`` brings the newest of each frame; ``block`` lets
                ``Signals.emit`` wait.
        """
        outlet = self._outlets.get((event, policy))
        if outlet is None:
            outlet = self._outlets[event, policy] = _Outlet(self)
            outlet.subscription = self._signals.subscribe(
                event, outlet.received.emit, on=self._post, policy=policy, capacity=_CAPACITY
            )
        return outlet.received

    def forward(self, signal: SignalInstance, make: Callable[..., object]) -> None:
        """Emit an event on the engine's side whenever a Qt signal comes.

        Args:
            signal: The Qt signal.
            make: Makes the event of what the signal carries.
        """
        signal.connect(lambda *values: self._signals.post(make(*values)))

    @property
    def dropped(self) -> int:
        """Events that were dropped because too many waited; those that ``latest`` leaves out do not count."""
        return sum(
            each.subscription.dropped
            for (_, policy), each in self._outlets.items()
            if policy != "latest" and each.subscription is not None
        )

    def close(self) -> None:
        """Bring what waits, then nothing more; once nothing is emitted."""
        before = None
        # No fewer: whoever closes this is called with one of them, and gets no other meanwhile.
        while (waiting := self._waiting()) and waiting != before:
            before = waiting
            self._frames.flush()
        for outlet in self._outlets.values():
            if outlet.subscription is not None:
                outlet.subscription.cancel()
        self._outlets.clear()

    def _waiting(self) -> int:
        return sum(each.subscription.waiting for each in self._outlets.values() if each.subscription is not None)

    def _post(self, turn: Callable[[], object]) -> None:
        self._frames.put(turn, turn)

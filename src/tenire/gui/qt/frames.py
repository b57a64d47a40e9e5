"""What a window is told, at the pace at which it paints: the newest value of each thing, once a frame.

::

    any thread: put(key, call, …) ──► the newest of each key ──► GUI thread, once in ``FRAME_S``: all calls

1. The first after a pause comes at once; then one frame lies between two rounds.
2. Of one key only the newest value is delivered. Keys come in the order in which they
   were first put.
3. A round takes at most ``_ROUND_S``: what is left waits for the next frame, and may be
   replaced by something newer meanwhile.
4. A call may open a dialog, and not return for long: the others come in rounds within
   it. So what waits is taken out one by one, and nothing old comes after something newer.
5. While nothing is put there is no timer.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from tenire.clock import SYSTEM_CLOCK
from tenire.gui.binding import QtCore, Slot, is_alive
from tenire.gui.qt.failures import report
from tenire.gui.qt.waker import Waker

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from tenire.clock import Clock

__all__ = ["FRAME_S", "Frames", "Reporter"]

FRAME_S = 0.016
_ROUND_S = 0.008


class Reporter:
    """Takes a value from any thread, and has the newest one delivered in the GUI thread.

    Made by ``Frames.reporter``.
    """

    __slots__ = ("_call", "_frames", "_owner")

    def __init__(self, frames: Frames, call: Callable[..., object], owner: QtCore.QObject | None) -> None:
        self._frames = frames
        self._call = call
        self._owner = owner

    def __call__(self, *values: Any) -> None:
        """Deliver these, unless newer ones come before the next frame."""
        self._frames.put(self, self._deliver, *values)

    def _deliver(self, *values: Any) -> None:
        if self._owner is None or is_alive(self._owner):
            self._call(*values)


class Frames(QtCore.QObject):
    """See the module. It belongs to the GUI thread, in which it is made.

    Args:
        clock: Where time comes from.
        frame: Seconds between two rounds.

    Attributes:
        rounds: Rounds so far.
    """

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK, frame: float = FRAME_S) -> None:
        super().__init__()
        self._clock = clock
        self._frame = frame
        self._lock = threading.Lock()
        # Of its kind for taking out what came first, which a dict looks for.
        self._newest: OrderedDict[Hashable, tuple[Callable[..., object], tuple[Any, ...]]] = OrderedDict()
        self._waker = Waker(self._arm)
        self._next_at = 0.0
        self.rounds = 0
        self._timer = QtCore.QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setTimerType(QtCore.Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._round)

    def put(self, key: Hashable, call: Callable[..., object], *values: Any) -> None:
        """Have ``call(*values)`` called with the next frame, instead of an older one of this key; from any thread."""
        with self._lock:
            self._newest[key] = (call, values)
        self._waker.wake()

    def reporter(self, call: Callable[..., object], *, owner: QtCore.QObject | None = None) -> Reporter:
        """Return a function for any thread; the newest that it is given reaches ``call`` in the GUI thread.

        Args:
            call: What is called; a method of a Qt object is not called once that is gone.
            owner: Another Qt object with which it ends.
        """
        return Reporter(self, call, owner if owner is not None else owner_of(call))

    def flush(self) -> None:
        """Deliver now what waits; in the GUI thread."""
        self._timer.stop()
        self._deliver(limit=None)

    def close(self) -> None:
        """Deliver nothing more."""
        self._timer.stop()
        self._waker.close()
        with self._lock:
            self._newest.clear()
        self.deleteLater()

    def _arm(self) -> None:
        if self._timer.isActive():
            return
        wait = self._next_at - self._clock.now()
        if wait <= 0:
            self._round()
        else:
            self._timer.start(max(1, round(wait * 1000)))

    @Slot()
    def _round(self) -> None:
        now = self._clock.now()
        self._next_at = now + self._frame
        if self._deliver(limit=now + _ROUND_S):
            self._timer.start(max(1, round(self._frame * 1000)))

    def _deliver(self, *, limit: float | None) -> bool:
        """Deliver; return whether something was left for another round."""
        self.rounds += 1
        for _ in range(len(self._newest)):  # those that are put meanwhile wait for the next round
            with self._lock:
                if not self._newest:
                    break  # a round within this one has brought them
                _, (call, values) = self._newest.popitem(last=False)
            try:
                call(*values)
            except Exception as error:  # noqa: BLE001 - foreign code; told, and the others get theirs
                report(error)
            if limit is not None and self._clock.now() >= limit:
                break
        return bool(self._newest)


def owner_of(call: Callable[..., object]) -> QtCore.QObject | None:
    """Return the Qt object whose method this is, or ``None``."""
    owner = getattr(call, "__self__", None)
    return owner if isinstance(owner, QtCore.QObject) else None

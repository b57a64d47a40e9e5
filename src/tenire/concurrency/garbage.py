"""Spares the garbage collector what lives long.

Each full collection walks over every container object that lives: modules, classes, a
model. With a hundred thousand of them that is tens of milliseconds in which the loop
stands still, and nothing of it is ever garbage. While an engine runs they are set
aside; what comes later is collected as usual. The engine makes no reference cycles
for each task, so it needs the collector for nothing.

What has come since, and stayed, is set aside in an idle moment (``set_aside_more``).
What was set aside and has become garbage in a cycle would stay for as long as the
engine runs. So everything is looked at again each ``_LOOKS``th time, if that takes no
longer than it may.

Queued tasks are not garbage either, and may be a million. Usually the collector walks over
everything each time that it has grown by a quarter, so a hundred thousand objects that wait
are walked over several times, in vain. While tasks are queued it does so only after more
objects have come than they consist of (``_look_seldom``). What is garbage meanwhile is
therefore never more than what is queued, or what it is without us if that is more.
"""

from __future__ import annotations

import gc
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.clock import Clock

__all__ = ["set_aside", "set_aside_more", "take_back"]

_LOOKS = 8
_PER_OBJECT_S = 100e-9
"""Time that a full collection takes for each object, until one was measured; it errs high."""
_FEW = 5_000  # a collection of fewer says nothing about the time for each
_OBJECTS = 2
"""Objects of a queued task that the collector walks over, at the least: its record and its context."""

_lock = threading.Lock()
_engines = 0
_ours = False
_queues: list[Callable[[], int]] = []
_usual = 0  # the third threshold as it was
_seldom = 0  # and as it has been set
_times = 0
_per_object_s = _PER_OBJECT_S


def set_aside(queued: Callable[[], int]) -> None:
    """Set aside all objects that live now; for the first engine of several.

    Args:
        queued: Returns how many tasks wait in the engine.
    """
    global _engines, _ours, _seldom, _usual
    with _lock:
        _engines += 1
        _queues.append(queued)
        if _engines == 1 and gc.isenabled() and not gc.get_freeze_count():
            gc.freeze()
            _ours = True
            _usual = _seldom = gc.get_threshold()[2]
            gc.callbacks.append(_look_seldom)


def set_aside_more(clock: Clock, *, limit: float) -> int | None:
    """Collect what is garbage and set aside what is not; while an engine has set aside anything.

    Nothing else runs meanwhile: collecting holds the interpreter.

    Args:
        clock: To learn how long collecting takes here.
        limit: Seconds that it may take.

    Returns:
        Objects that were collected, or ``None`` if it would take too long, or the
        collector is somebody else's affair.
    """
    global _per_object_s, _times
    with _lock:
        if not _ours:
            return None
        fresh = sum(len(gc.get_objects(generation)) for generation in range(3))
        if fresh * _per_object_s > limit:
            return None
        count = fresh
        if _times % _LOOKS == _LOOKS - 1 and (fresh + gc.get_freeze_count()) * _per_object_s <= limit:
            count += gc.get_freeze_count()
            gc.unfreeze()
        _times += 1
        started = clock.now()
        collected = gc.collect()
        took = clock.now() - started
        gc.freeze()
        if count >= _FEW and took > 0:
            _per_object_s = took / count
        return collected


def take_back(queued: Callable[[], int]) -> None:
    """Let the collector see everything again; when the last engine ends.

    Args:
        queued: As was passed to ``set_aside``.
    """
    global _engines, _ours
    with _lock:
        _engines -= 1
        _queues.remove(queued)
        if not _engines and _ours:
            gc.callbacks.remove(_look_seldom)
            _set_third(_usual)
            gc.unfreeze()
            _ours = False


def _look_seldom(phase: str, info: dict[str, int]) -> None:
    """Bring up to date after how much more everything is looked at; not after each of the smallest collections."""
    # The collector may run anywhere, also in who holds the lock: then the next time will do.
    if phase == "stop" and info["generation"] and _lock.acquire(blocking=False):
        try:
            first, second, _ = gc.get_threshold()
            waiting = _OBJECTS * sum(queued() for queued in _queues)
            _set_third(max(_usual, waiting // max(1, first * second)))
        finally:
            _lock.release()


def _set_third(value: int) -> None:
    global _seldom, _usual
    first, second, third = gc.get_threshold()
    if third != _seldom:  # somebody else has set it meanwhile: then that is the usual one
        _usual = _seldom = third
    elif value != third:
        gc.set_threshold(first, second, value)
        _seldom = value

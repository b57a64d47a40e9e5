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

There may be no idle moment for a long time, as with a million tasks queued. So what a
full collection that took ``_SLOW_S`` has left is set aside at once: it has just been
looked at. All of it is looked at again when the collections since then have taken as
long together: then as much has come as there was, and garbage is half of all at most.
"""

from __future__ import annotations

import gc
import threading
from typing import TYPE_CHECKING

from tenire.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from tenire.clock import Clock

__all__ = ["set_aside", "set_aside_more", "take_back"]

_LOOKS = 8
_PER_OBJECT_S = 100e-9
"""Time that a full collection takes for each object, until one was measured; it errs high."""
_FEW = 5_000  # a collection of fewer says nothing about the time for each
_SLOW_S = 0.01
_OLDEST = 2

_lock = threading.Lock()
_engines = 0
_ours = False
_times = 0
_per_object_s = _PER_OBJECT_S
_began = 0.0
_all_s = 0.0  # how long the last collection of everything took
_since_s = 0.0  # how long those since then took together


def set_aside() -> None:
    """Set aside all objects that live now; for the first engine of several."""
    global _all_s, _engines, _ours, _since_s
    with _lock:
        _engines += 1
        if _engines == 1 and gc.isenabled() and not gc.get_freeze_count():
            gc.freeze()
            _ours = True
            _all_s = _since_s = 0.0
            gc.callbacks.append(_watch)


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


def take_back() -> None:
    """Let the collector see everything again; when the last engine ends."""
    global _engines, _ours
    with _lock:
        _engines -= 1
        if not _engines and _ours:
            gc.callbacks.remove(_watch)
            gc.unfreeze()
            _ours = False


def _watch(phase: str, info: dict[str, int]) -> None:
    """Set aside what a slow full collection has left; without the lock, which its caller may hold."""
    global _all_s, _began, _since_s
    if info["generation"] != _OLDEST:
        return
    if phase == "start":
        if _since_s > _all_s > 0:
            gc.unfreeze()
            _all_s = _since_s = 0.0
        _began = SYSTEM_CLOCK.now()
        return
    took = SYSTEM_CLOCK.now() - _began
    if _all_s:
        _since_s += took
    else:
        _all_s = took
    if took >= _SLOW_S:
        gc.freeze()

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
"""

from __future__ import annotations

import gc
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenire.clock import Clock

__all__ = ["set_aside", "set_aside_more", "take_back"]

_LOOKS = 8
_PER_OBJECT_S = 100e-9
"""Time that a full collection takes for each object, until one was measured; it errs high."""
_FEW = 5_000  # a collection of fewer says nothing about the time for each

_lock = threading.Lock()
_engines = 0
_ours = False
_times = 0
_per_object_s = _PER_OBJECT_S


def set_aside() -> None:
    """Set aside all objects that live now; for the first engine of several."""
    global _engines, _ours
    with _lock:
        _engines += 1
        if _engines == 1 and gc.isenabled() and not gc.get_freeze_count():
            gc.freeze()
            _ours = True


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
            gc.unfreeze()
            _ours = False

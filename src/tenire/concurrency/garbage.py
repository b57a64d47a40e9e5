"""Spares the garbage collector what is there when the engine starts.

Each full collection walks over every container object that lives: modules, classes, a
model. With a hundred thousand of them that is tens of milliseconds in which the loop
stands still, and nothing of it is ever garbage. While an engine runs they are set
aside; what comes later is collected as usual. The engine makes no reference cycles
for each task, so it needs the collector for nothing.
"""

from __future__ import annotations

import gc
import threading

__all__ = ["set_aside", "take_back"]

_lock = threading.Lock()
_engines = 0
_ours = False


def set_aside() -> None:
    """Set aside all objects that live now; for the first engine of several."""
    global _engines, _ours
    with _lock:
        _engines += 1
        if _engines == 1 and gc.isenabled() and not gc.get_freeze_count():
            gc.freeze()
            _ours = True


def take_back() -> None:
    """Let the collector see everything again; when the last engine ends."""
    global _engines, _ours
    with _lock:
        _engines -= 1
        if not _engines and _ours:
            gc.unfreeze()
            _ours = False

"""How soon a busy thread lets the window's thread have the interpreter.

Python switches threads every 5 ms. A window that paints one frame calls Qt some 25
times, and may have to win the interpreter back after each: with the engine's thread
busy, that is 100 ms a frame. One millisecond keeps frames, and costs the engine little.
"""

from __future__ import annotations

import sys
import threading

__all__ = ["QUICK_S", "calm", "hurry"]

QUICK_S = 0.001

_LOCK = threading.Lock()
_state: dict[str, float] = {}


def hurry() -> None:
    """Switch quickly until ``calm`` was called as often as this."""
    with _LOCK:
        if not _state.get("windows"):
            _state["before"] = sys.getswitchinterval()
            sys.setswitchinterval(min(QUICK_S, _state["before"]))
            _state["set"] = sys.getswitchinterval()
        _state["windows"] = _state.get("windows", 0) + 1


def calm() -> None:
    """Take one ``hurry`` back; with the last one the interval is what it was, unless somebody else set it."""
    with _LOCK:
        _state["windows"] -= 1
        if not _state["windows"] and sys.getswitchinterval() == _state["set"]:
            sys.setswitchinterval(_state["before"])

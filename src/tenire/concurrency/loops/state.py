"""The life of a loop's owner.

::

    NEW ──► RUNNING ──► DRAINING ──► CLOSED        (never back)
"""

from __future__ import annotations

from enum import IntEnum

__all__ = ["LoopState"]


class LoopState(IntEnum):
    """Where a loop is in its life."""

    NEW = 0
    """It has no loop yet."""
    RUNNING = 1
    """Calls from other threads are taken."""
    DRAINING = 2
    """New calls are refused at once; those that were taken end."""
    CLOSED = 3
    """Everything has ended, and nobody is left waiting."""

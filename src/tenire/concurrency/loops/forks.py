"""What happens to an engine in a child process that was made by ``fork``.

The child has a copy of every object but none of the threads. A loop that nobody runs
any more takes calls and never answers them, and its wake-up pipe is shared with the
parent. So everything that registered here is told, first thing in the child.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol

__all__ = ["FORKED", "on_fork"]

FORKED = "this process was forked from the one that runs the engine, and has no part of it"
"""Why a call is refused in the child."""


class Forkable(Protocol):
    """Something that cannot be used in a child."""

    def forked(self) -> None:
        """Refuse everything from now on; called in the child."""
        ...


_known: weakref.WeakSet[Forkable] = weakref.WeakSet()


def on_fork(thing: Forkable) -> None:
    """Have ``thing.forked()`` called in a child; it is held weakly."""
    _known.add(thing)


def _tell() -> None:
    for thing in list(_known):
        thing.forked()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_tell)

"""The monitor window: its own process, which follows the engine of a home through the feed.

``python -m tenire.gui.window HOME`` is that process; ``tenire.gui.process`` starts it and
keeps it. Nothing here decides anything about the engine: it shows views, and calls actions.
"""

from __future__ import annotations

# Before Qt: PySide6 reads the source of every module that is imported after it, which takes time and memory.
import tenire.app.feed
import tenire.concurrency.loops  # noqa: F401

__all__: list[str] = []

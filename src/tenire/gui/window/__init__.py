"""The monitor window: its own process, which follows the engine of a home through the feed.

``python -m tenire.gui.window HOME`` is that process; ``tenire.gui.process`` starts it and
keeps it. Nothing here decides anything about the engine: it shows views, and calls actions.
"""

from __future__ import annotations

__all__: list[str] = []

"""Files that hold other files: what is in them, one after the other, within bounds.

Nothing is ever written to disk. ``unpacking`` walks through a container and those
inside of it; the other modules know one format each.
"""

from __future__ import annotations

__all__: list[str] = []

"""Windows: the engine in applications with Qt, and the monitor of a running engine.

- ``tenire.gui.qt``: for an application of yours: the engine beside its windows.
- ``process``: starts and keeps the monitor window, ``window``, a process of its own.

Importing this package loads no Qt; its rooms do.
"""

from __future__ import annotations

__all__: list[str] = []

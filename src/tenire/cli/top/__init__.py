"""The live view in the terminal: ``tenire top``. It needs the extra ``top``; importing this package does not."""

from __future__ import annotations

__all__: list[str] = []

"""What can be seen of the machine and of a run; it changes nothing."""

from __future__ import annotations

__all__: list[str] = []

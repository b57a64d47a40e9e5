"""The commands, a file per subject. Each parses, calls ``app`` and prints."""

from __future__ import annotations

__all__: list[str] = []

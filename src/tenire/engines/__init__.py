"""Engines that run stages on more than one machine; each is an extra of its own."""

from __future__ import annotations

__all__: list[str] = []

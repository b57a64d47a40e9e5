"""Puts the rooms together: configuration, recipes, runs, search."""

from __future__ import annotations

__all__: list[str] = []

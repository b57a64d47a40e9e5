"""Rows: read from files, answered one by one, written as JSON lines, each id exactly once.

Import the parts by name (``tenire.pipeline.rows.run``), as in the rest of ``pipeline``.
"""

from __future__ import annotations

__all__: list[str] = []

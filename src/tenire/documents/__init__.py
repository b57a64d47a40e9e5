"""From files to passages: read, validate, cleanse, cut.

``prepare.prepare`` composes the rest and runs in worker processes. Nothing here
knows the store or the embedder, and a parser is imported only when its format
appears.
"""

from __future__ import annotations

__all__: list[str] = []

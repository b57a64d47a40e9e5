"""The page that ``--report`` writes about a run: what was sampled, how it is drawn, and the page itself."""

from __future__ import annotations

__all__: list[str] = []

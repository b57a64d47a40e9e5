"""Sources, stages, journal, quarantine, progress: how documents move through a run.

Import the rooms by name (``tenire.pipeline.journal``); this face stays empty, so
that what only shows progress does not load what does the work.
"""

from __future__ import annotations

__all__: list[str] = []

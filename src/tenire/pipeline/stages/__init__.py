"""Stages: functions of a user that items go through, a batch at a time, on their way to an output.

Import the parts by name (``tenire.pipeline.stages.stage``), as in the rest of ``pipeline``.
"""

from __future__ import annotations

__all__: list[str] = []

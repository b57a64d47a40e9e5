"""Keeping a documents pipeline in step with its files, after its run.

``following`` goes on where the run ended: it waits for changes, lets them settle and
has what has changed run again. ``file_events`` hears of changes, ``roots`` tells whether
what is watched is still there, ``changed_source`` lists what has changed.
"""

from __future__ import annotations

__all__: list[str] = []

"""Where a user's programs keep what can be made again: prepared models."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["cache_folder"]


def cache_folder() -> Path | None:
    """Return the user's folder for what can be made again, or ``None`` without a home.

    ``TENIRE_CACHE`` overrides it. It need not exist yet.
    """
    override = os.environ.get("TENIRE_CACHE")
    if override:
        return Path(override)
    base = _platform_cache()
    return None if base is None else base / "tenire"


def _platform_cache() -> Path | None:
    try:
        home = Path.home()
    except RuntimeError:  # no HOME, and the user is in no password file (some containers)
        return None
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    if sys.platform == "darwin":
        return home / "Library" / "Caches"
    # The XDG specification says that a relative path is to be ignored.
    configured = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return configured if configured.is_absolute() else home / ".cache"

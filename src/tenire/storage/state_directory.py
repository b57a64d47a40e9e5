r"""Where a user's programs keep what they share on this machine.

The only place that knows where that is:

======== ==================================================
system   directory
======== ==================================================
Linux    ``$XDG_STATE_HOME/tenire``, or ``~/.local/state/tenire``
macOS    ``~/Library/Application Support/tenire``
Windows  ``%LOCALAPPDATA%\tenire``
======== ==================================================

``TENIRE_STATE`` names another one.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tenire.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["make_state_directory", "state_directory"]


def state_directory(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Return the directory; it need not exist."""
    if named := environment.get("TENIRE_STATE"):
        return Path(os.path.abspath(named))
    if platform == "win32":
        base = environment.get("LOCALAPPDATA") or os.path.join(os.path.expanduser("~"), "AppData", "Local")
    elif platform == "darwin":
        base = os.path.join(os.path.expanduser("~"), "Library", "Application Support")
    else:
        base = environment.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return Path(os.path.abspath(base)) / "tenire"


def make_state_directory() -> Path:
    """Return the directory, which is there now, and nobody else's to read.

    Raises:
        StoreError: If it cannot be made.
    """
    path = state_directory()
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        message = f"the directory for what all programs share cannot be made: {path} ({error.strerror or error})"
        raise StoreError(message, hint="name another one with the environment variable TENIRE_STATE") from error
    return path

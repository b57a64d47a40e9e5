"""What to do when the operating system refuses, where its reason says more than the place does."""

from __future__ import annotations

import errno

__all__ = ["advice"]

_TOO_MANY_FILES = "close files that this process has open, or raise the limit for open files"
_BY_REASON = {
    errno.EMFILE: _TOO_MANY_FILES,
    errno.ENFILE: _TOO_MANY_FILES,
    errno.ENOSPC: "free some space on that disk",
    errno.EDQUOT: "free some space: this user may not have more on that disk",
}


def advice(error: BaseException, otherwise: str) -> str:
    """Return what to do about an error.

    Args:
        error: What was raised.
        otherwise: What to do if it is no error of the system, or has no advice of its own.
    """
    return _BY_REASON.get(getattr(error, "errno", None) or 0, otherwise)

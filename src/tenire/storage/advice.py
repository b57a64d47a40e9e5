"""What to do when the operating system refuses, where its reason says more than the place does."""

from __future__ import annotations

import errno

__all__ = ["advice", "lacks_memory", "shortage"]

_TOO_MANY_THREADS = "end some programs, or raise the limit for processes and threads of this user (ulimit -u)"
_NO_THREAD = "can't start new thread"
"""What Python says, in a plain RuntimeError, where the system gives it no thread."""
_TOO_MANY_FILES = "close files that this process has open, or raise the limit for open files"
_BY_REASON = {
    errno.EMFILE: _TOO_MANY_FILES,
    errno.ENFILE: _TOO_MANY_FILES,
    errno.ENOMEM: "end some programs, or give the system more memory",
    errno.ENOSPC: "free some space on that disk",
    errno.EDQUOT: "free some space: this user may not have more on that disk",
}


_SHORT = frozenset({errno.EMFILE, errno.ENFILE})


def lacks_memory(error: BaseException) -> bool:
    """Return whether the system had no memory to give, whether Python or the system says so."""
    return isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM


def shortage(error: BaseException) -> str | None:
    """Return what to do where the system is short of threads, open files or memory; ``None`` for any other error."""
    if lacks_memory(error):
        return _BY_REASON[errno.ENOMEM]
    if type(error) is RuntimeError and str(error) == _NO_THREAD:
        return _TOO_MANY_THREADS
    number = getattr(error, "errno", None)
    return _BY_REASON[number] if number in _SHORT else None


def advice(error: BaseException, otherwise: str) -> str:
    """Return what to do about an error.

    Args:
        error: What was raised.
        otherwise: What to do if it is no error of the system, or has no advice of its own.
    """
    short = shortage(error)
    if short is not None:
        return short
    return _BY_REASON.get(getattr(error, "errno", None) or 0, otherwise)

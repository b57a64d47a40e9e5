"""What a supervisor logs, in words."""

from __future__ import annotations

import asyncio
import logging

from tenire.core.restart import State
from tenire.errors import ComponentError

__all__ = ["error_line", "log", "log_fall"]

log = logging.getLogger("tenire.supervisor")


def error_line(error: BaseException) -> str:
    """Return an error in one line."""
    if isinstance(error, asyncio.CancelledError):
        return "it was cancelled"
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def log_fall(name: str, error: BaseException | None, *, fate: State, prospect: str) -> None:
    """Log that a component has ended, or has to, though nobody told it to.

    Args:
        name: The component's.
        error: Why, or ``None`` if it just ended.
        fate: What it is from now on.
        prospect: What that means, in words.
    """
    if error is None and fate is State.ENDED:
        return  # it is done
    cancelled = isinstance(error, asyncio.CancelledError)
    # Who cancels every task of a loop, as is usual at its end, means nothing by it.
    level = logging.ERROR if fate is State.FAILED else logging.INFO if cancelled else logging.WARNING
    what = "ended" if error is None else f"failed: {error_line(error)}"
    # Of a cancellation, or of what the supervisor itself has noticed, a trace tells nothing.
    trace = None if cancelled or isinstance(error, ComponentError) else error
    log.log(level, "component %r %s; %s", name, what, prospect, exc_info=trace)

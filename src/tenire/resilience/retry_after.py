"""What a server says about when to call again.

``Retry-After`` is a number of seconds or a date (RFC 9110, section 10.2.3);
``retry-after-ms`` is what some APIs send beside it, and is more exact.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from math import isfinite
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["retry_after"]


def retry_after(headers: Any, wall: Callable[[], float]) -> float | None:
    """Return the delay in seconds that a reply's headers ask for.

    Args:
        headers: Anything with a ``get``, whether or not it minds capitals.
        wall: Tells seconds since the epoch; only called for a date.

    Returns:
        ``None`` if they say nothing that can be understood, or nothing that lies in the
        future: some servers send 0 or -1 for "unknown".
    """
    milliseconds = _number(_header(headers, "retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = _header(headers, "retry-after")
    seconds = _number(text)
    if seconds is not None or text is None:
        return seconds
    try:
        date = parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    return _future(date - wall())


def _header(headers: Any, name: str) -> str | None:
    for spelt in (name, name.title()):
        try:
            value = headers.get(spelt)
        except (AttributeError, TypeError):
            return None
        if value is not None:
            return str(value)
    return None


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else _future(float(text))
    except ValueError:
        return None


def _future(seconds: float) -> float | None:
    return seconds if seconds > 0 and isfinite(seconds) else None

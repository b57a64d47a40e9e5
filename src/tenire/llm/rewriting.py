"""Requests that a server refused for the way they are written, written in another way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenire.errors import BadRequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tenire.llm.dialects import Dialect
    from tenire.llm.failures import Call

__all__ = ["rewritten"]


def rewritten(
    dialect: Dialect,
    call: Call,
    error: BadRequestError,
    sent: Mapping[str, Any],
    write: Callable[[], Mapping[str, Any]],
) -> Mapping[str, Any] | None:
    """Return a refused body as the dialect writes it now, or ``None`` if that is as it was sent.

    Args:
        dialect: Learns from the refusal.
        call: That was refused.
        error: Why.
        sent: The body.
        write: Writes it, by what the dialect knows.
    """
    # What was sent counts, and not what is learned here: another refusal may have taught it before.
    if type(error) is not BadRequestError or error.charged:
        return None
    dialect.adapt(call.model, str(error))
    body = write()
    return None if body == sent else body

"""Requests that a server refused for the way they are written, written in another way."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from tenire.errors import BadRequestError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from tenire.llm.dialects import Dialect
    from tenire.llm.failures import Call
    from tenire.llm.records import StreamPart

__all__ = ["rewritten", "streamed"]


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


async def streamed(
    dialect: Dialect,
    call: Call,
    write: Callable[[], Mapping[str, Any]],
    send: Callable[[Mapping[str, Any]], AsyncGenerator[StreamPart]],
) -> AsyncGenerator[StreamPart]:
    """Yield the parts of a reply; a body that is refused for the way it is written is written anew, once.

    Args:
        dialect: As for ``rewritten``.
        call: What is asked for.
        write: Writes the body, by what the dialect knows.
        send: Sends it and yields the parts of the reply.
    """
    body = write()
    for last in (False, True):
        try:
            async with aclosing(send(body)) as parts:
                async for part in parts:
                    yield part
        except BadRequestError as error:
            other = rewritten(dialect, call, error, body, write)
            if last or other is None:
                raise
            body = other
        else:
            return

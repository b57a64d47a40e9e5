"""Reads the body of an answer: whole, or event by event."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

from tenire.llm.connection_errors import FAILURES
from tenire.llm.dialects import NoReplyError
from tenire.llm.rate_headers import rate_report
from tenire.llm.records import StreamPart
from tenire.llm.server_events import LONGEST, EventTooLongError, ServerEvents

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    import aiohttp

    from tenire.core.rate_report import RateReport
    from tenire.llm.dialects import Dialect, ReplyReader

__all__ = ["LARGEST", "LARGEST_REFUSAL", "beginning", "stream_answer", "stream_parts", "whole"]

LARGEST = 256 << 20
"""Bytes of a reply: 2,048 vectors of 3,072 numbers, written in full."""
LARGEST_REFUSAL = 1 << 20
"""Bytes that are read of an answer that says what is wrong."""

_LINGER_S = 0.1


async def whole(answer: aiohttp.ClientResponse, most: int) -> bytes:
    """Read a body to its end.

    Raises:
        NoReplyError: If it is longer than ``most`` bytes.
    """
    pieces, size = [], 0
    while piece := await answer.content.readany():
        pieces.append(piece)
        size += len(piece)
        if size > most:
            raise NoReplyError(f"more than {most >> 20} MiB")
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def beginning(answer: aiohttp.ClientResponse, most: int) -> bytes:
    """Read at most so many bytes of a body that says what is wrong; its status counts without it too."""
    pieces, size = [], 0
    with suppress(*FAILURES):
        while size < most and (piece := await answer.content.readany()):
            pieces.append(piece)
            size += len(piece)
    return b"".join(pieces)[:most]


async def stream_answer(answer: aiohttp.ClientResponse, dialect: Dialect) -> AsyncGenerator[StreamPart]:
    """Yield the parts of a streamed reply, and leave a connection that can be used again.

    Raises:
        NoReplyError: If what comes is no reply, or ends too early.
    """
    rates = rate_report(answer.headers)
    if answer.content_type == "application/json":  # from a server that cannot stream, or an error
        reply = dialect.reply(await whole(answer, LARGEST), rates)
        yield StreamPart(reply.text, reply)
        return
    async with aclosing(stream_parts(answer.content.iter_any(), dialect, rates)) as parts:
        async for part in parts:
            yield part
    # A connection that is read to its end can be used again. The end is on its way;
    # where it is not, a new connection costs less than to wait for it.
    with suppress(*FAILURES):
        async with asyncio.timeout(_LINGER_S):
            await answer.content.read()


async def stream_parts(
    pieces: AsyncIterator[bytes], dialect: Dialect, rates: RateReport | None
) -> AsyncGenerator[StreamPart]:
    """Yield the parts of a reply that comes as events, the whole reply in the last one.

    Raises:
        NoReplyError: If what comes is no reply, or ends too early.
    """
    reader, events = dialect.reader(), ServerEvents()
    async for piece in pieces:
        for data in _cut(events, piece):
            if text := reader.feed(data):
                yield StreamPart(text)
            if reader.ended:
                break
        if reader.ended:
            break
    if text := _last(reader, events):
        yield StreamPart(text)
    yield StreamPart("", reader.reply(rates))


def _cut(events: ServerEvents, piece: bytes) -> list[bytes]:
    try:
        return events.feed(piece)
    except EventTooLongError:
        raise NoReplyError(f"an event of more than {LONGEST >> 20} MiB") from None


def _last(reader: ReplyReader, events: ServerEvents) -> str:
    """Take in an event that the end of the stream ended."""
    data = None if reader.ended else events.rest()
    return "" if data is None else reader.feed(data)

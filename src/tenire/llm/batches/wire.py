"""What answers of any batch API are read with."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from tenire.errors import BadRequestError
from tenire.llm.dialects import NoReplyError
from tenire.llm.failures import Call, broken
from tenire.llm.records import ChatRequest

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from aiohttp import StreamReader

    from tenire.llm.transport import HttpTransport

__all__ = ["call_of_line", "encode_line", "lines_of", "object_of", "request_of_body", "results_at"]

_LONGEST_LINE = 64 << 20


def encode_line(transport: HttpTransport, path: str, line: Mapping[str, Any], request: ChatRequest) -> bytes:
    """Return a line as it is sent, with its end.

    Raises:
        BadRequestError: If the prompt cannot be sent.
    """
    try:
        return msgspec.json.encode(line) + b"\n"
    except UnicodeEncodeError:
        pass  # told out here: that exception holds the text
    call = transport.call_of("a line of a batch", path, request.model, request.messages)
    message = call.message("a prompt with half a character in it (a lone surrogate)")
    raise BadRequestError(message, hint="clean the text first")


def call_of_line(transport: HttpTransport, path: str, body: Mapping[str, Any] | None) -> Call:
    """Return how errors name a line.

    Args:
        transport: The way to the provider.
        path: Of the same call at once.
        body: That was sent; without it, no error says what the server wrote.
    """
    if body is None:
        return replace(transport.call_of("a chat completion", path), prompt=None)
    return transport.call_of("a chat completion", path, body["model"], [body["messages"], body.get("system")])


def request_of_body(body: Mapping[str, Any], messages: Sequence[Mapping[str, Any]] | None = None) -> ChatRequest:
    """Return the request of which a body was made, as far as what it may use depends on that.

    Args:
        body: As it was sent.
        messages: As they were given, if they were sent in another form.
    """
    others = {name: value for name, value in body.items() if name not in ("model", "messages")}
    given = body["messages"] if messages is None else messages
    return ChatRequest(body["model"], tuple(given), schema=others.get("response_format"), parameters=others)


def object_of(raw: bytes, call: Call) -> dict[str, Any]:
    """Read an answer that is to be a JSON object.

    Raises:
        BrokenReplyError: If it is none.
    """
    try:
        told = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        told = None
    if not isinstance(told, dict):
        raise broken(call, "what is no JSON object")
    return told


async def lines_of(content: StreamReader) -> AsyncGenerator[Sequence[bytes]]:
    """Yield the lines of an answer, some at a time.

    Raises:
        NoReplyError: If one does not end.
    """
    rest = b""
    async for piece in content.iter_any():
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > _LONGEST_LINE:
            raise NoReplyError(f"a line of more than {_LONGEST_LINE >> 20} MiB")
        if lines:
            yield lines
    if rest:
        yield [rest]


async def results_at(transport: HttpTransport, path: str) -> AsyncGenerator[Sequence[bytes]]:
    """Yield the lines of the results at a path, some at a time."""
    async with (
        transport.exchange("results of a batch", "GET", path) as answer,
        aclosing(lines_of(answer.content)) as found,
    ):
        async for lines in found:
            yield lines

"""Servers on this machine that answer with given bytes, and remember what they were asked."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

CHAT = {
    "id": "chat-1",
    "model": "small-2026",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}],
    "usage": {
        "prompt_tokens": 9,
        "completion_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 1},
    },
}
HANG = b""
"""An answer that never comes."""


def answer(
    body: Any, status: str = "200 OK", headers: dict[str, str] | None = None, length: int | None = None
) -> bytes:
    """Return an answer of HTTP; a body that is not bytes is written as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"Content-Length": str(len(raw) if length is None else length), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + raw


@dataclass
class Asked:
    """One request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Server:
    """What runs on a port of this machine."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    called: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def serving(
    *answers: bytes, pieces: int | None = None, judge: Callable[[Asked], bytes] | None = None
) -> AsyncIterator[Server]:
    """Give the answers one after the other, the last one for ever; an empty one never comes.

    An answer that is shorter than it says is cut off: the connection is closed after it.

    Args:
        answers: Whole answers of HTTP.
        pieces: Bytes that are sent at a time, each in a turn of the loop of its own.
        judge: Returns the answer to a request, in place of ``answers``.
    """
    server = Server()
    left = list(answers)
    writers: set[asyncio.StreamWriter] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        writers.add(writer)
        try:
            while (asked := await _request(reader)) is not None:
                server.asked.append(asked)
                server.called.set()
                raw = judge(asked) if judge is not None else left.pop(0) if len(left) > 1 else left[0]
                if raw == HANG:
                    await reader.read()
                    return
                step = pieces or len(raw)
                for start in range(0, len(raw), step):
                    writer.write(raw[start : start + step])
                    await writer.drain()
                    await asyncio.sleep(0)
                if not _complete(raw):
                    return
        except ConnectionError:
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    server.url = f"http://127.0.0.1:{port}/v1"
    try:
        yield server
    finally:
        listening.close()
        for writer in writers:
            writer.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def _request(reader: asyncio.StreamReader) -> Asked | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return None
    line, *rest = head.strip().split("\r\n")
    headers = {name.lower(): value for name, value in (field.split(": ", 1) for field in rest)}
    return Asked(line, headers, await reader.readexactly(int(headers.get("content-length", 0))))


def _complete(raw: bytes) -> bool:
    head, _, body = raw.partition(b"\r\n\r\n")
    lower = head.lower()
    if b"chunked" in lower:
        return body.endswith(b"0\r\n\r\n")
    length = lower.partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return length.isdigit() and int(length) == len(body)

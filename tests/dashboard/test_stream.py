"""How a view goes to a page: past the server where that has nothing to wait for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tenire.app.feed import View
from tenire.dashboard.messages import Messages
from tenire.dashboard.stream import CONNECTION, Stream

if TYPE_CHECKING:
    from tenire.testing import SimLoop

VIEW = View(7, "/home", "gone", 1.0)


class Feed:
    """Has one view, and then no other one."""

    period = 0.1

    async def newer(self, known: int) -> View:
        if known == VIEW.number:
            await asyncio.Event().wait()
        return VIEW


class Connection:
    def __init__(self, *, waiting: int = 0, closing: bool = False) -> None:
        self.waiting, self.closing = waiting, closing
        self.written: list[bytes] = []

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def write(self, data: bytes) -> None:
        self.written.append(data)


def serve(loop: SimLoop, connection: Connection | None, version: str = "1.1") -> list[bytes]:
    """Serve one page, and return what went through the server."""
    sent: list[bytes] = []
    stream = Stream(Feed())  # type: ignore[arg-type]

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(1.0)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            sent.append(message["body"])

    scope = {"http_version": version, "state": {} if connection is None else {CONNECTION: connection}}
    loop.run_until_complete(stream.serve(scope, receive, send))
    return sent


def test_a_view_is_written_as_a_chunk_to_a_connection_that_has_taken_all(sim_loop: SimLoop) -> None:
    connection = Connection()
    message = Messages().of(VIEW, 0)
    assert serve(sim_loop, connection) == []
    assert connection.written == [f"{len(message):x}\r\n".encode() + message + b"\r\n"]


@pytest.mark.parametrize(
    ("connection", "version"),
    [(None, "1.1"), (Connection(), "1.0"), (Connection(waiting=1), "1.1"), (Connection(closing=True), "1.1")],
)
def test_any_other_view_goes_through_the_server(connection: Connection | None, version: str, sim_loop: SimLoop) -> None:
    assert serve(sim_loop, connection, version) == [Messages().of(VIEW, 0)]
    assert connection is None or connection.written == []


def test_a_message_is_framed_once_for_all_pages() -> None:
    messages = Messages()
    message = messages.of(VIEW, 0)
    assert messages.chunk(message) is messages.chunk(message)
    assert messages.chunk(b"another") == b"7\r\nanother\r\n"

"""Connections of a control channel inside one process, on virtual time, with a kernel's buffer of a known size."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from tenire.concurrency.channel.authentication import new_nonce, prove
from tenire.concurrency.channel.frames import FrameBuffer
from tenire.concurrency.channel.messages import Call, Hello, Ping, Proof, Refused, from_server, pack
from tenire.concurrency.channel.peer import Peer
from tenire.errors import ChannelError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tenire.concurrency.channel import LoopChannel
    from tenire.concurrency.channel.link import Link

__all__ = ["KERNEL_BYTES", "KEY", "Caller", "Pipe", "dial", "pipe"]

KEY = bytes(range(32))
KERNEL_BYTES = 64 << 10


class Pipe(asyncio.Transport):
    """One end; made in pairs by ``pipe``."""

    def __init__(self, protocol: Any) -> None:
        super().__init__()
        self.protocol = protocol
        self.other: Pipe
        self.sent = self.came = b""
        self.high = 64 << 10
        self.reading, self.choked, self.closing, self.eof, self.lost = True, False, False, False, False

    def write(self, data: Any) -> None:
        if not self.closing:
            assert not self.eof, "written after the end"
            self.sent += bytes(data)
            self._flush()
            if len(self.sent) > self.high and not self.choked:
                self.choked = True
                self.protocol.pause_writing()

    def _flush(self) -> None:
        room = KERNEL_BYTES - len(self.other.came)
        if self.sent and room > 0 and not self.other.lost:
            self.other.came += self.sent[:room]
            self.sent = self.sent[room:]
            asyncio.get_running_loop().call_soon(self.other.deliver)
        if self.choked and len(self.sent) <= self.high // 4 and not self.lost:
            self.choked = False
            self.protocol.resume_writing()
        if self.closing and not self.sent:
            self._end()

    def deliver(self) -> None:
        if self.came and self.reading and not self.lost:
            data, self.came = self.came, b""
            if not self.closing:
                self.protocol.data_received(data)
            self.other._flush()
        if not self.came and self.other.eof and not self.other.sent and not self.lost:
            self.close()

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True
        asyncio.get_running_loop().call_soon(self.deliver)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high = high or self.high

    def get_write_buffer_size(self) -> int:
        return len(self.sent)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.eof = True
        asyncio.get_running_loop().call_soon(self.other.deliver)

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True
        self._flush()

    def abort(self) -> None:
        self.closing = True
        self.sent = b""
        self._end()

    def _end(self) -> None:
        if not self.lost:
            self.lost = self.eof = True
            loop = asyncio.get_running_loop()
            loop.call_soon(self.protocol.connection_lost, None)
            loop.call_soon(self.other.deliver)


def pipe(server: Any, client: Any) -> tuple[Pipe, Pipe]:
    """Connect two protocols."""
    ends = Pipe(server), Pipe(client)
    ends[0].other, ends[1].other = ends[1], ends[0]
    client.connection_made(ends[1])
    server.connection_made(ends[0])
    return ends


def dial(channel: Callable[[], LoopChannel | None]) -> Any:
    """Return a ``connect`` for ``ChannelClient`` that reaches whatever channel there is."""

    async def connect(directory: Path, protocol: Callable[[bytes], Link]) -> Link:
        await asyncio.sleep(0.001)
        found = channel()
        if found is None:
            raise ChannelError(f"no engine listens on {directory}")
        link = protocol(KEY)
        pipe(Peer(found), link)
        return link

    return connect


class Caller(asyncio.Protocol):
    """A client that does as the test says, and keeps what it is told."""

    def __init__(self, channel: LoopChannel, *, key: bytes = KEY, proves: bool = True) -> None:
        self.key, self.proves = key, proves
        self.told: list[Any] = []
        self.gone = asyncio.Event()
        self.frames = FrameBuffer()
        self.server, self.end = pipe(Peer(channel), self)

    def connection_made(self, transport: Any) -> None:
        pass

    def data_received(self, data: bytes) -> None:
        self.frames.feed(data)
        while (body := self.frames.take()) is not None:
            self.told.append(from_server(body))
            if isinstance(self.told[-1], Hello) and self.proves:
                nonce = new_nonce()
                self.end.write(pack(Proof(nonce, prove(self.key, "client", self.told[-1].nonce, nonce))))

    def connection_lost(self, error: Exception | None) -> None:
        self.gone.set()

    def send(self, data: bytes) -> None:
        self.end.write(data)

    def ping(self) -> None:
        self.end.write(pack(Ping()))

    def call(self, number: int, operation: str, argument: Any = None) -> None:
        self.end.write(pack(Call(number, operation, msgspec.Raw(msgspec.msgpack.encode(argument)))))

    @property
    def refused(self) -> str:
        """Why it was dropped."""
        return "".join(message.reason for message in self.told if isinstance(message, Refused))

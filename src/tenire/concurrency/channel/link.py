"""One connection, on the client's side, from its first byte to its end.

::

    CONNECTED ──hello──► PROVEN ──welcome──► READY ──► ENDED        (never back)

1. No call is sent before the server has shown the key too.
2. Every call that was sent gets an answer, or the error that ended the connection.
3. Only so many calls are under way at a time that the server reads on; the others wait.
4. A server that answers no ping within ``HEARTBEAT_S`` is given up.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING, cast

from tenire.concurrency.channel.authentication import matches, new_nonce, prove
from tenire.concurrency.channel.frames import FrameBuffer, PeerError
from tenire.concurrency.channel.messages import (
    CALLS_AT_ONCE,
    VERSION,
    Answer,
    Call,
    Failure,
    FromServer,
    Hello,
    Ping,
    Pong,
    Proof,
    Refused,
    Welcome,
    from_server,
    pack,
)
from tenire.errors import ChannelError, ConfigError, RejectedError, StoreError, TenireError

if TYPE_CHECKING:
    import msgspec

    from tenire.concurrency.timer import Timeout, UniversalTimer

__all__ = ["HEARTBEAT_S", "Link"]

HEARTBEAT_S = 20.0
"""Seconds between two pings; three of them fit into the time after which a server drops who is silent."""

_KINDS: dict[str, type[TenireError]] = {kind.__name__: kind for kind in (ConfigError, RejectedError, StoreError)}


class Link(asyncio.Protocol):
    """Shows the key, asks for the server's, and carries calls.

    Args:
        key: The key.
        whom: Whom it talks to, for messages.
        timer: Of the loop; paces the heartbeats.

    Attributes:
        ready: Done once calls can be sent; fails if that is not to be.
    """

    def __init__(self, key: bytes, whom: str, *, timer: UniversalTimer) -> None:
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._key = key
        self._whom = whom
        self._timer = timer
        self._proof = b""
        self._frames = FrameBuffer()
        self._numbers = count()
        # One less than that: the server would read nothing more, and answer no ping.
        self._room = asyncio.Semaphore(CALLS_AT_ONCE - 1)
        self._waiting: dict[int, asyncio.Future[msgspec.Raw]] = {}
        self._transport: asyncio.Transport
        self._end: ChannelError | None = None
        self._lost = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._beating: Timeout | None = None
        self._pinged = False

    @property
    def ended(self) -> bool:
        """Whether it is of no use any more."""
        return self._end is not None

    async def call(self, operation: str, argument: msgspec.Raw) -> msgspec.Raw:
        """Return what an operation returns.

        Raises:
            TenireError: What the operation raised.
            ChannelError: If the connection ended before the answer came.
        """
        async with self._room:
            return await self._call(operation, argument)

    async def _call(self, operation: str, argument: msgspec.Raw) -> msgspec.Raw:
        await self._writable.wait()
        if self._end is not None:
            raise self._broken()
        number = next(self._numbers)
        try:
            frame = pack(Call(number, operation, argument))
        except PeerError as error:
            message = f"the argument of {operation} is too long: {error}"
            raise ConfigError(message, key=operation) from error
        answer: asyncio.Future[msgspec.Raw] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._transport.write(frame)
            return await answer
        finally:
            self._waiting.pop(number, None)

    async def aclose(self) -> None:
        """End the connection and wait until it is gone."""
        self._finish(ChannelError(f"the connection to {self._whom} was closed here"))
        await self._lost.wait()

    # -- the transport's calls ------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the server's greeting."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        self._frames.feed(data)
        try:
            while self._end is None and (body := self._frames.take()) is not None:
                self._take(from_server(body))
        except PeerError as error:
            self._finish(ChannelError(f"{self._whom} does not speak as an engine does: {error}"))

    def pause_writing(self) -> None:
        """The server does not take what was sent."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It does again."""
        self._writable.set()

    def connection_lost(self, error: Exception | None) -> None:
        """Tell everybody who waits."""
        why = f"the connection to {self._whom} broke off" + (f": {error}" if error is not None else "")
        hint = "it has ended, or does not take more; whether what was asked for was done is not known"
        self._finish(ChannelError(why, hint=hint))
        self._lost.set()

    # -- messages ---------------------------------------------------------------

    def _take(self, message: FromServer) -> None:
        if isinstance(message, Answer):
            self._settle(message.number, message.value, None)
        elif isinstance(message, Failure):
            self._settle(message.number, None, self._failure(message))
        elif isinstance(message, Pong):
            self._pinged = False
        elif isinstance(message, Refused):
            self._finish(ChannelError(f"{self._whom} refused the connection: {message.reason}"))
        elif isinstance(message, Hello):
            self._prove(message)
        else:
            self._welcome(message)

    def _settle(self, number: int, value: msgspec.Raw | None, error: TenireError | None) -> None:
        answer = self._waiting.get(number)
        if answer is None or answer.done():
            return  # nobody waits for it any more
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(cast("msgspec.Raw", value))

    def _failure(self, message: Failure) -> TenireError:
        kind = _KINDS.get(message.kind)
        if kind is not None:
            return kind(message.message, hint=message.hint)
        return ChannelError(f"{self._whom} could not do it: {message.message}", hint=message.hint)

    def _prove(self, hello: Hello) -> None:
        if self._proof:
            reason = "a second greeting"
            raise PeerError(reason)
        if hello.version != VERSION:
            message = f"{self._whom} speaks version {hello.version} of the channel, this Tenire version {VERSION}"
            self._finish(ChannelError(message, hint="use the same version of Tenire as the engine"))
            return
        nonce = new_nonce()
        self._proof = prove(self._key, "server", hello.nonce, nonce)
        self._transport.write(pack(Proof(nonce, prove(self._key, "client", hello.nonce, nonce))))

    def _welcome(self, welcome: Welcome) -> None:
        if not self._proof or not matches(welcome.mac, self._proof):
            reason = "it has not the key that stands in control.key"
            raise PeerError(reason)
        if not self.ready.done():
            self.ready.set_result(None)
            self._beat()

    # -- heartbeats, the end --------------------------------------------------

    def _beat(self) -> None:
        if self._pinged:
            self._finish(ChannelError(f"{self._whom} has not answered for {HEARTBEAT_S:.0f} s"))
            return
        self._pinged = True
        self._transport.write(pack(Ping()))
        self._beating = self._timer.after(HEARTBEAT_S, self._beat)

    def _finish(self, error: ChannelError) -> None:
        if self._end is not None:
            return
        self._end = error
        if self._beating is not None:
            self._beating.cancel()
        self._transport.abort()
        self._writable.set()
        if not self.ready.done():
            self.ready.set_exception(error)
            self.ready.exception()  # whoever waited may be gone
        for number in list(self._waiting):
            self._settle(number, None, self._broken())

    def _broken(self) -> ChannelError:
        # One for each: an exception that is raised in several places collects their tracebacks.
        assert self._end is not None
        return ChannelError(str(self._end), hint=self._end.hint)

"""The engine's end of the channel: operations that other processes may call.

1. Only what was registered can be called, and only by who has shown the key.
2. A peer that breaks a rule is told which, and dropped, with one line in the log. No
   other peer notices.
3. A peer gets ``FRAMES_AT_ONCE`` frames read in a turn of the loop, and ``CALLS_AT_ONCE``
   of its calls are under way. Beyond that, or while it does not take its answers,
   nothing more is read from it: the system makes it wait.
4. After ``aclose`` no connection, timer or file is left, and no operation but those that
   went on for half a second though they were cancelled: they are named, and given up.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tenire.clock import SYSTEM_CLOCK, Clock
from tenire.concurrency.blocking import acquire_blocking, run_blocking
from tenire.concurrency.channel.endpoint import Listener, listen, serve
from tenire.concurrency.channel.messages import check_name
from tenire.concurrency.channel.peer import Peer
from tenire.concurrency.unbroken import unbroken
from tenire.errors import ConfigError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from tenire.concurrency.timer import UniversalTimer

__all__ = ["MOST_PEERS", "ChannelStatistics", "LoopChannel", "Operation"]

MOST_PEERS = 64
"""Connections at a time, those that have not shown the key included."""

_log = logging.getLogger("tenire.channel")


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """What a channel did so far.

    Attributes:
        peers: Connections now.
        calls: Calls carried out, failed ones included.
        dropped: Peers that broke a rule.
    """

    peers: int
    calls: int
    dropped: int


class Operation:
    """Something that other processes may call.

    Args:
        name: By which they call it.
        fn: Gets the argument, if it takes one; returns what is to be sent back, or a coroutine of it.
        takes: Type of the argument, or ``None`` for no argument.
    """

    __slots__ = ("_decoder", "_fn", "name")

    def __init__(self, name: str, fn: Callable[..., Any], takes: Any) -> None:
        self.name = name
        self._fn = fn
        self._decoder = None if takes is None else msgspec.msgpack.Decoder(takes)

    def start(self, argument: bytes) -> Any:
        """Return what it returns.

        Raises:
            ConfigError: If the argument is not of the right type.
            Exception: Whatever it raises.
        """
        if self._decoder is None:
            return self._fn()
        try:
            value = self._decoder.decode(argument)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            message = f"the argument of {self.name} is not what it takes: {error}"
            raise ConfigError(message, key=self.name) from error
        return self._fn(value)


class LoopChannel:
    """Lets other processes of the same user call registered operations on this loop.

    An async context manager; or ``start`` and ``aclose``. It owns ``control.key`` and
    ``control.sock`` in its directory while it is open, so the directory must be this
    engine's alone (a home under its lock).

    Args:
        directory: Where the socket and the key are.
        timer: The engine's timer.
        clock: The clock of the timer.
    """

    def __init__(
        self, directory: str | os.PathLike[str], *, timer: UniversalTimer, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self.directory = Path(directory)
        self.timer = timer
        self.clock = clock
        self._operations: dict[str, Operation] = {}
        self.key = b""
        self.calls = 0
        self._dropped = 0
        self._peers: set[Peer] = set()
        self._empty: asyncio.Future[None] | None = None
        self._listener: Listener | None = None
        self._server: asyncio.Server | None = None
        self._closing = False

    def register(self, name: str, fn: Callable[..., Any], *, takes: Any = None) -> None:
        """Let other processes call ``fn``.

        It runs on the loop: a plain function must not block, a coroutine function may
        take its time. What it returns must be something that msgspec can encode, of up
        to 1 MiB. An error of ``tenire.errors`` reaches the caller as it is; any other is
        logged here, and is a ``ChannelError`` there.

        Args:
            name: By which they call it, up to 64 characters.
            fn: A function without arguments, or of one.
            takes: Type of that one, for msgspec to check; ``None`` for none.

        Raises:
            ConfigError: If there is such an operation already, or nobody could call it by this name.
        """
        check_name(name)
        if name in self._operations:
            message = f"there is an operation {name!r} already"
            raise ConfigError(message, key=name)
        self._operations[name] = Operation(name, fn, takes)

    def operation(self, name: str) -> Operation:
        """Return an operation.

        Raises:
            ConfigError: If there is none of that name.
        """
        operation = self._operations.get(name)
        if operation is None:
            message = f"this engine has no operation {name!r}; it has: {', '.join(sorted(self._operations)) or 'none'}"
            raise ConfigError(message, key="operation", hint="use the same version of Tenire as the engine")
        return operation

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            OSError: If the directory cannot be written.
        """
        listener = await acquire_blocking(partial(listen, self.directory), Listener.close)
        self.key = listener.key
        try:
            self._server = await serve(listener, lambda: Peer(self))
        except BaseException:
            await unbroken(run_blocking(listener.close))
            raise
        self._listener = listener

    @property
    def serving(self) -> bool:
        """Whether new connections are accepted."""
        return self._server is not None and self._server.is_serving()

    async def aclose(self) -> None:
        """Drop every peer and stop listening; calling it again does nothing.

        Operations that go on though they were cancelled are given up after half a second, and named in the log.
        """
        if self._closing:
            return
        self._closing = True
        if self._server is not None:
            self._server.close()
        for peer in list(self._peers):
            peer.abort()
        await unbroken(self._close())

    async def _close(self) -> None:
        if self._peers:
            # Here, since clients import this room too, and have no loop to look after.
            from tenire.concurrency.loops.ending import end_tasks, give_up
            from tenire.concurrency.loops.owner import GRACE_S

            # Each cancels its operations as it leaves. A second time would interrupt what they do to clean up.
            self._empty = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._empty], timeout=GRACE_S / 2)
            for task in await end_tasks(self._under_way, grace=GRACE_S / 2, cancel=asyncio.Task.cancel):
                give_up(task)
            self._peers.clear()
        if self._listener is not None:
            await run_blocking(self._listener.close)

    def _under_way(self) -> list[asyncio.Task[Any]]:
        return [task for peer in self._peers for task in peer.operations]

    async def __aenter__(self) -> LoopChannel:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def statistics(self) -> ChannelStatistics:
        """Return what it did so far."""
        return ChannelStatistics(peers=len(self._peers), calls=self.calls, dropped=self._dropped)

    # -- what peers tell ----------------------------------------------------

    def arrived(self, peer: Peer) -> str | None:
        """Take in a connection; return why it cannot stay, or ``None``."""
        if self._closing:
            return "the engine is ending"
        if len(self._peers) >= MOST_PEERS:
            reason = f"{MOST_PEERS} connections are open already; close one, or try again later"
            self.note_drop(reason)
            return reason
        self._peers.add(peer)
        return None

    def left(self, peer: Peer) -> None:
        """Take in that a connection is gone."""
        self._peers.discard(peer)
        if not self._peers and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    def note_drop(self, reason: str) -> None:
        """Take in that a peer broke a rule."""
        self._dropped += 1
        _log.warning("control channel: dropped a peer: %s", reason)

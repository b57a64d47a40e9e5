"""The only way out for a browser: a SOCKS5 proxy on this machine that judges each connection.

Whatever a page does, it ends in a connection: the page itself, where it is redirected to, what
its scripts ask for, its web sockets. A browser whose only way out is this proxy hands it host
names, not addresses, so that here is the one place where names are resolved, judged, and
connected to. Looking at requests inside of the browser instead misses redirects, and judges a
name that the browser resolves once more.

RFC 1928, as far as a browser needs it: no authentication, CONNECT only. The proxy listens on
the loopback address; other programs of this machine that find it get no further than they
would by themselves.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, NamedTuple

from tenire.browser.addresses import RefusedError, UnreachableError

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import Callable

    from tenire.browser.addresses import Addresses

__all__ = ["Gate", "Trouble"]

_PIECE = 64 << 10
_MOST_TROUBLES = 1024
_GREETING_S = 10.0
_CONNECT_S = 15.0

_SUCCEEDED, _NOT_ALLOWED, _UNREACHABLE, _NO_SUCH_COMMAND = 0, 2, 4, 7
_CONNECT = 1
_IPV4, _NAME, _IPV6 = 1, 3, 4


class Trouble(NamedTuple):
    """Why a host could not be reached.

    Attributes:
        refused: Whether it was not allowed; otherwise it could not be done.
        reason: Why.
    """

    refused: bool
    reason: str


class Gate:
    """The proxy; an async context manager.

    Args:
        addresses: Judges where connections may go.
        blocked: Returns whether a host is one that nobody asked for: a tracker.

    Attributes:
        port: The port of the loopback address that it listens on.
        refused: Connections that were refused since its start.
        blocked: Connections to trackers, the same.
    """

    def __init__(self, addresses: Addresses, *, blocked: Callable[[str], bool]) -> None:
        self._addresses = addresses
        self._is_blocked = blocked
        self._troubles: dict[str, Trouble] = {}
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.refused = 0
        self.blocked = 0

    async def __aenter__(self) -> Gate:
        # In two steps: of a server that is cancelled while it starts, asyncio loses the socket.
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, start_serving=False)
        try:
            await self._server.start_serving()
        except BaseException:
            self._server.close()
            raise
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections)

    def trouble(self, host: str) -> Trouble | None:
        """Return why a host could not be reached when it was last tried, or ``None``."""
        return self._troubles.get(host.lower().strip("[]"))

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        try:
            async with asyncio.timeout(_GREETING_S):
                asked = await _asked(reader, writer)
            if asked is None:
                writer.write(_answer(_NO_SUCH_COMMAND))
                return
            host, port = asked
            there = await self._connect(host, port)
            if isinstance(there, int):
                writer.write(_answer(there))
                return
            writer.write(_answer(_SUCCEEDED))
            try:
                await _exchange((reader, writer), there)
            finally:
                there[1].close()
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            pass  # either side went away; the browser sees that its connection ends
        except asyncio.CancelledError:
            pass  # the gate closes; the server's own callback would log a cancelled task
        finally:
            writer.close()

    async def _connect(self, host: str, port: int) -> tuple[StreamReader, StreamWriter] | int:
        name = host.lower()
        if self._is_blocked(name):
            self.blocked += 1
            return _NOT_ALLOWED
        try:
            places = await self._addresses.resolve(host, port)
        except RefusedError as error:
            self.refused += 1
            self._note(name, Trouble(refused=True, reason=str(error)))
            return _NOT_ALLOWED
        except UnreachableError as error:
            self._note(name, Trouble(refused=False, reason=str(error)))
            return _UNREACHABLE
        for family, address in places:
            try:
                async with asyncio.timeout(_CONNECT_S):
                    there = await asyncio.open_connection(address, port, family=family)
            except OSError as error:  # a TimeoutError is one, too
                reason = error.strerror or "it did not answer in time"
                self._note(name, Trouble(refused=False, reason=f"{host}:{port} cannot be reached ({reason})"))
            else:
                self._troubles.pop(name, None)
                return there
        return _UNREACHABLE

    def _note(self, host: str, trouble: Trouble) -> None:
        self._troubles.pop(host, None)
        self._troubles[host] = trouble
        if len(self._troubles) > _MOST_TROUBLES:
            del self._troubles[next(iter(self._troubles))]


async def _asked(reader: StreamReader, writer: StreamWriter) -> tuple[str, int] | None:
    """Return host and port that the other side wants to be connected to, or ``None`` for another wish."""
    if await reader.readexactly(1) != b"\x05":
        raise ConnectionError("not SOCKS5")
    await reader.readexactly((await reader.readexactly(1))[0])  # ways to authenticate; none is asked for
    writer.write(b"\x05\x00")
    _, command, _, kind = await reader.readexactly(4)
    if kind == _NAME:
        host = (await reader.readexactly((await reader.readexactly(1))[0])).decode("ascii", "replace")
    elif kind in (_IPV4, _IPV6):
        packed = await reader.readexactly(4 if kind == _IPV4 else 16)
        host = socket.inet_ntop(socket.AF_INET if kind == _IPV4 else socket.AF_INET6, packed)
    else:
        return None
    port = int.from_bytes(await reader.readexactly(2), "big")
    return (host, port) if command == _CONNECT else None


def _answer(code: int) -> bytes:
    return bytes((5, code, 0, _IPV4)) + bytes(6)


async def _exchange(one: tuple[StreamReader, StreamWriter], other: tuple[StreamReader, StreamWriter]) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_pump(one[0], other[1]))
            group.create_task(_pump(other[0], one[1]))
    except* (OSError, RuntimeError):
        pass  # one side broke off, or its transport closed between two pieces


async def _pump(reader: StreamReader, writer: StreamWriter) -> None:
    while piece := await reader.read(_PIECE):
        writer.write(piece)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()

"""Where the two ends of a channel meet: the only file that knows platforms.

In the directory, while an engine listens, each readable for its owner only:

- ``control.key``: the key of this engine, as hexadecimal digits;
- ``control.sock``: a Unix socket; or, where there are none (Windows, some file systems),
- ``control.port``: the number of a port of 127.0.0.1.

The name of a socket has room for about a hundred bytes (``sun_path``). Where the path of
the directory is longer, Linux reaches it by a descriptor of the directory, which has a
short name in ``/proc``. Other systems then listen on a port.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from tenire.concurrency.blocking import acquire_blocking
from tenire.concurrency.channel.authentication import KEY_BYTES, new_key
from tenire.errors import ChannelError
from tenire.storage.advice import advice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["KEY_FILE", "PORT_FILE", "SOCKET_FILE", "Listener", "connect", "listen", "serve"]

P = TypeVar("P", bound=asyncio.Protocol)
T = TypeVar("T")

KEY_FILE, SOCKET_FILE, PORT_FILE = "control.key", "control.sock", "control.port"
"""Names in the directory."""

_LONGEST_SOCKET_PATH = 103
"""Bytes: macOS has room for 104 with the final zero, Linux for 108."""

_HAS_UNIX = sys.platform != "win32"  # Windows has Unix sockets, but Python's loop there has none
_OWN_DESCRIPTORS = Path("/proc/self/fd")
_DIAL_S = 2.0


class Listener:
    """A bound socket and the key to it. Made by ``listen``.

    Attributes:
        key: What clients must have.
        socket: Bound, and listening.
    """

    def __init__(self, directory: Path, key: bytes, bound: socket.socket) -> None:
        self.key = key
        self.socket = bound
        self._directory = directory

    def close(self) -> None:
        """Stop listening and remove what was left in the directory; may block."""
        self.socket.close()
        _remove(self._directory)


def listen(directory: Path) -> Listener:
    """Make a key and listen; may block.

    What another engine left behind is replaced: whoever calls this owns the directory.

    Raises:
        OSError: If the directory cannot be written.
    """
    _remove(directory)
    key = new_key()
    try:
        bound = _bound(directory)
        try:
            # Last: whoever sees that the key is another one finds somebody who listens.
            _write(directory / KEY_FILE, key.hex())
        except BaseException:
            bound.close()
            raise
    except BaseException:
        _remove(directory)
        raise
    return Listener(directory, key, bound)


def _bound(directory: Path) -> socket.socket:
    with contextlib.suppress(OSError), _reachable(directory) as path:
        if path is not None:
            return _listening(socket.AF_UNIX, path)
    # It may be there, and of no use: clients look for the port first.
    bound = _listening(socket.AF_INET, ("127.0.0.1", 0))
    try:
        _write(directory / PORT_FILE, str(bound.getsockname()[1]))
    except BaseException:
        bound.close()
        raise
    return bound


def _listening(family: int, address: str | tuple[str, int]) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.bind(address)
        if isinstance(address, str):
            # Between bind and listen nobody can connect, so there is no moment in which others could.
            os.chmod(address, 0o600)
        bound.listen(128)
        bound.setblocking(False)
    except BaseException:
        bound.close()
        raise
    return bound


@contextlib.contextmanager
def _reachable(directory: Path) -> Iterator[str | None]:
    """Lend a name of the socket that is short enough, or ``None``."""
    path = str(directory / SOCKET_FILE)
    if not _HAS_UNIX:
        yield None
    elif len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        yield path
    elif not _OWN_DESCRIPTORS.is_dir():
        yield None
    else:
        fd = os.open(directory, os.O_RDONLY)
        try:
            yield str(_OWN_DESCRIPTORS / str(fd) / SOCKET_FILE)
        finally:
            os.close(fd)


async def serve(listener: Listener, protocol: Callable[[], asyncio.Protocol]) -> asyncio.Server:
    """Accept who connects; on the loop that carries the connections from then on."""
    server = await _server(listener, protocol)
    # In two steps: of one that is cancelled while it starts, asyncio goes on watching the socket. Whoever gets
    # the number of that after it was closed would never be heard.
    try:
        await server.start_serving()
    except BaseException:
        server.close()
        raise
    return server


async def _server(listener: Listener, protocol: Callable[[], asyncio.Protocol]) -> asyncio.Server:
    loop: Any = asyncio.get_running_loop()
    how: dict[str, Any] = {"sock": listener.socket, "start_serving": False}
    if listener.socket.family == socket.AF_INET:
        server: asyncio.Server = await loop.create_server(protocol, **how)
        return server
    try:
        # From Python 3.13 on the loop would remove the socket by its name, which is short-lived here.
        server = await loop.create_unix_server(protocol, cleanup_socket=False, **how)
    except TypeError:  # older ones, and uvloop there, do not know the word
        server = await loop.create_unix_server(protocol, **how)
    return server


async def connect(directory: Path, protocol: Callable[[bytes], P]) -> P:
    """Connect to who listens.

    Args:
        directory: Where.
        protocol: Makes the protocol of the connection from the key.

    Raises:
        ChannelError: If nobody listens, or it is not ours to reach.
    """
    loop: Any = asyncio.get_running_loop()
    key, connected = await acquire_blocking(partial(_dial, directory), _hang_up)
    family = loop.create_connection if connected.family == socket.AF_INET else loop.create_unix_connection
    try:
        _, made = await family(lambda: protocol(key), sock=connected)
    except BaseException:
        connected.close()
        raise
    return cast("P", made)


def _hang_up(dialled: tuple[bytes, socket.socket]) -> None:
    dialled[1].close()


def _dial(directory: Path) -> tuple[bytes, socket.socket]:
    try:
        return _read_key(directory / KEY_FILE), _connected(directory)
    except (FileNotFoundError, NotADirectoryError) as error:
        message = f"no engine listens on {directory}"
        raise ChannelError(message, hint="tenire status shows whether one runs") from error
    except ConnectionRefusedError as error:
        message = f"the engine on {directory} is gone, and left its socket behind"
        raise ChannelError(message, hint="the next engine replaces it") from error
    except OSError as error:
        message = f"the engine on {directory} cannot be reached: {error.strerror or error}"
        raise ChannelError(message, hint=advice(error, "only the user who started it can talk to it")) from error


def _connected(directory: Path) -> socket.socket:
    try:
        text = (directory / PORT_FILE).read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        with _reachable(directory) as path:
            if path is None:
                raise
            return _dialled(socket.AF_UNIX, path)
    if not text.isdigit() or not 0 < int(text) < 1 << 16:
        message = f"expected the number of a port in {directory / PORT_FILE}, got {text[:20]!r}"
        raise ChannelError(message, hint="it is damaged; stop the engine and start it again")
    return _dialled(socket.AF_INET, ("127.0.0.1", int(text)))


def _dialled(family: int, address: str | tuple[str, int]) -> socket.socket:
    dialled = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Neither a full queue nor a process that was stopped may keep us here for ever.
        dialled.settimeout(_DIAL_S)
        dialled.connect(address)
        dialled.setblocking(False)
    except BaseException:
        dialled.close()
        raise
    return dialled


# -- files --------------------------------------------------------------------


def _write(path: Path, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w", encoding="ascii") as file:
        file.write(text)


def _read_key(path: Path) -> bytes:
    text = path.read_text(encoding="ascii", errors="replace")
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:  # the text itself is never told
        message = f"expected {2 * KEY_BYTES} hexadecimal digits in {path}, got {len(text)} characters"
        raise ChannelError(message, hint="it is damaged; stop the engine and start it again")
    return key


def _remove(directory: Path) -> None:
    for name in (SOCKET_FILE, PORT_FILE, KEY_FILE):
        # On a disk that cannot be written any more they stay, and lead nowhere.
        with contextlib.suppress(OSError):
            (directory / name).unlink()

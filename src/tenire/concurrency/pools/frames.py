"""Messages between the engine and a worker process.

A message is pickled with protocol 5 and its large buffers (numpy arrays, bytes
wrapped in ``pickle.PickleBuffer``) travel outside the pickle: they are written
from where they lie and read into memory of the right size once, never joined
into one big string.

::

    count of parts (u32) · length of each part (u64 …) · the parts

The first part is the pickle, the others are its buffers. Both ends are processes
that the engine started itself, connected by an inherited, unnamed pipe.
"""

from __future__ import annotations

import os
import pickle
import struct
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

__all__ = ["dump", "receive", "send"]

_COUNT = struct.Struct("<I")
_MOST_PER_CALL = 512
"""Parts in one ``writev``; systems allow 1024 or more."""


def dump(message: Any) -> list[memoryview]:
    """Return a message as parts, ready to ``send``.

    Raises:
        Exception: Whatever pickling raises; nothing was sent.
    """
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
    return [memoryview(head), *(buffer.raw() for buffer in buffers)]


def send(connection: Connection[Any, Any], parts: list[memoryview]) -> None:
    """Send the parts of a message.

    Raises:
        OSError: If the other end is gone.
    """
    lengths = struct.pack(f"<{len(parts)}Q", *(part.nbytes for part in parts))
    views = [memoryview(_COUNT.pack(len(parts)) + lengths), *(part for part in parts if part.nbytes)]
    if sys.platform == "win32":
        for view in views:
            connection.send_bytes(view)
        return
    fd = connection.fileno()
    while views:
        sent = os.writev(fd, views[:_MOST_PER_CALL])
        while sent:
            first = views[0]
            if sent >= first.nbytes:
                sent -= first.nbytes
                views.pop(0)
            else:
                views[0] = first[sent:]
                sent = 0


def receive(connection: Connection[Any, Any]) -> Any:
    """Receive one message.

    Raises:
        EOFError: If the other end is gone.
        Exception: Whatever unpickling raises.
    """
    if sys.platform == "win32":
        header = connection.recv_bytes()
        lengths = _lengths(header[_COUNT.size :], _COUNT.unpack_from(header)[0])
        parts = [bytearray(length) for length in lengths]
        for part in parts:
            if part:
                connection.recv_bytes_into(part)
    else:
        fd = connection.fileno()
        count = _COUNT.unpack(_read(fd, _COUNT.size))[0]
        parts = [_read(fd, length) for length in _lengths(_read(fd, 8 * count), count)]
    return pickle.loads(parts[0], buffers=parts[1:])


def _lengths(packed: bytes | bytearray, count: int) -> tuple[int, ...]:
    return struct.unpack_from(f"<{count}Q", packed)


def _read(fd: int, size: int) -> bytearray:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        got = os.readv(fd, [view])
        if not got:
            raise EOFError
        view = view[got:]
    return data

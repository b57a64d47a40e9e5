"""Messages between the engine and a worker process.

A message is pickled with protocol 5 and its large buffers (numpy arrays, bytes
wrapped in ``pickle.PickleBuffer``) travel outside the pickle: they are written
from where they lie and read into memory of the right size once, never joined
into one big string. A small message goes in one piece and comes in one read.

::

    tag (u8) · count of parts (u32) · number (u64) · length of each part (u64 …) · the parts

What tag, number and parts mean is said in ``jobs``. Each end waits for the other's
answer before it sends again, so what is read is never more than one message. Both
ends are processes that the engine started itself, connected by an inherited,
unnamed socket (on Windows a pipe).
"""

from __future__ import annotations

import os
import pickle
import struct
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection

__all__ = ["AT_ONCE", "Message", "dump", "dump_small", "pack", "receive", "send", "size_of", "unpack"]

AT_ONCE = 64 << 10
"""Bytes that one read asks for."""

_SMALL = 32 << 10
"""A message up to this size is one piece. A system's smallest socket buffer holds it (see ``child``)."""

_HEAD = struct.Struct("<B3xIQ")
_MOST_PER_CALL = 512
"""Parts in one ``writev``; systems allow 1024 or more."""


class Message(NamedTuple):
    """One message as it came.

    Attributes:
        tag: What it is.
        number: One figure.
        parts: Pickles, and buffers that belong to them.
    """

    tag: int
    number: int
    parts: list[bytearray]


def dump(value: Any) -> list[bytes | memoryview]:
    """Return a value as parts of a message: its pickle, then its buffers.

    Raises:
        Exception: Whatever pickling raises.
    """
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    return [pickled, *(buffer.raw() for buffer in buffers)] if buffers else [pickled]


class _TooLargeError(Exception):
    pass


class _SmallFile:
    """What a pickler writes to until it is too much; so a large object costs no time."""

    def __init__(self) -> None:
        self.left = _SMALL
        self.pieces: list[bytes] = []

    def write(self, data: Any, /) -> int:
        self.left -= len(data)
        if self.left < 0:
            raise _TooLargeError
        self.pieces.append(bytes(data))
        return len(data)


def dump_small(value: Any) -> list[bytes | memoryview] | None:
    """Return a value as ``dump`` does, or ``None`` as soon as it turns out to be large.

    Raises:
        Exception: Whatever pickling raises.
    """
    file = _SmallFile()
    buffers: list[memoryview] = []

    def keep(buffer: pickle.PickleBuffer) -> None:
        raw = buffer.raw()
        file.left -= raw.nbytes
        if file.left < 0:
            raise _TooLargeError
        buffers.append(raw)

    try:
        pickle.Pickler(file, 5, buffer_callback=keep).dump(value)
    except _TooLargeError:
        return None
    return [b"".join(file.pieces), *buffers]


def size_of(parts: Sequence[bytes | bytearray | memoryview]) -> int:
    """Return the bytes of all parts together."""
    return sum(part.nbytes if isinstance(part, memoryview) else len(part) for part in parts)


def pack(tag: int, number: int, parts: Sequence[bytes | memoryview]) -> list[bytes | memoryview]:
    """Return a message as pieces, ready to ``send``; one piece if it is small."""
    lengths = [part.nbytes if isinstance(part, memoryview) else len(part) for part in parts]
    head = _HEAD.pack(tag, len(parts), number) + struct.pack(f"<{len(parts)}Q", *lengths)
    if sum(lengths) <= _SMALL:
        return [b"".join((head, *parts))]
    return [head, *(part for part, length in zip(parts, lengths, strict=True) if length)]


def send(connection: Connection[Any, Any], pieces: Sequence[bytes | memoryview]) -> None:
    """Send a message, however long that takes.

    Raises:
        OSError: If the other end is gone.
    """
    if sys.platform == "win32":
        for piece in pieces:
            connection.send_bytes(piece)
        return
    fd = connection.fileno()
    views = [memoryview(piece) for piece in pieces]
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


def unpack(data: bytes) -> Message | None:
    """Return the message that ``data`` is, or ``None`` if it is only the beginning of one."""
    size = len(data)
    if size < _HEAD.size:
        return None
    tag, count, number = _HEAD.unpack_from(data)
    at = _HEAD.size + 8 * count
    if size < at:
        return None
    lengths = struct.unpack_from(f"<{count}Q", data, _HEAD.size)
    if size != at + sum(lengths):
        return None
    # Each part in memory of its own, which starts at an even address and can be written.
    parts = []
    for length in lengths:
        parts.append(bytearray(data[at : at + length]))
        at += length
    return Message(tag, number, parts)


def receive(connection: Connection[Any, Any], data: bytes = b"") -> Message:
    """Receive one message, however long that takes.

    Args:
        connection: Where from.
        data: What was read of it already.

    Raises:
        EOFError: If the other end is gone.
        OSError: As EOFError.
        MemoryError: If the message does not fit; the connection is of no use any more.
    """
    if not data:
        data = _some(connection)
        if (message := unpack(data)) is not None:
            return message
    while len(data) < _HEAD.size:
        data += _some(connection)
    tag, count, number = _HEAD.unpack_from(data)
    at = _HEAD.size + 8 * count
    while len(data) < at:
        data += _some(connection)
    view = memoryview(data)
    parts = []
    for length in struct.unpack_from(f"<{count}Q", data, _HEAD.size):
        here = view[at : at + length]
        at += len(here)
        if len(here) == length:
            part = bytearray(here)
        else:
            part = bytearray(length)
            part[: len(here)] = here
            _fill(connection, memoryview(part)[len(here) :])
        parts.append(part)
    return Message(tag, number, parts)


def _some(connection: Connection[Any, Any]) -> bytes:
    data = connection.recv_bytes() if sys.platform == "win32" else os.read(connection.fileno(), AT_ONCE)
    if not data:
        raise EOFError
    return data


def _fill(connection: Connection[Any, Any], view: memoryview) -> None:
    if sys.platform == "win32":
        connection.recv_bytes_into(view)
        return
    fd = connection.fileno()
    while view:
        got = os.readv(fd, [view])
        if not got:
            raise EOFError
        view = view[got:]

"""Frames: where one message ends and the next begins.

::

    length (u32, big-endian) · that many bytes

1. A length of zero, or above ``MOST_BYTES``, is refused as soon as its four bytes are
   there: what would follow is never kept.
2. So a buffer holds at most one frame that is not whole, and what one read brought.
"""

from __future__ import annotations

import struct

__all__ = ["HEAD_BYTES", "MOST_BYTES", "FrameBuffer", "PeerError", "seal"]

MOST_BYTES = 1 << 20
"""Length of the longest frame, without its head."""

_HEAD = struct.Struct(">I")
HEAD_BYTES = _HEAD.size


class PeerError(Exception):
    """The other end broke a rule of the channel; the message says which, and is told to it."""


def seal(frame: bytearray) -> None:
    """Write the head of a frame whose body stands behind ``HEAD_BYTES`` free bytes.

    Raises:
        PeerError: If it is too long.
    """
    length = len(frame) - HEAD_BYTES
    if length > MOST_BYTES:
        message = f"expected a message of up to {MOST_BYTES:,} bytes, got one of {length:,}"
        raise PeerError(message)
    _HEAD.pack_into(frame, 0, length)


class FrameBuffer:
    """Takes bytes as they come and gives back whole frames."""

    __slots__ = ("_at", "_data")

    def __init__(self) -> None:
        self._data = bytearray()
        self._at = 0

    def __len__(self) -> int:
        return len(self._data) - self._at

    def feed(self, data: bytes) -> None:
        """Take what a read brought."""
        self._data += data

    def take(self) -> bytes | None:
        """Return the body of the next frame, or ``None`` if it is not whole yet.

        Raises:
            PeerError: If its length is impossible; nothing that follows makes sense then.
        """
        data, at = self._data, self._at
        if len(data) - at < HEAD_BYTES:
            self._forget()
            return None
        (length,) = _HEAD.unpack_from(data, at)
        if not 0 < length <= MOST_BYTES:
            message = f"expected a frame of 1 to {MOST_BYTES:,} bytes, got one of {length:,}"
            raise PeerError(message)
        start = at + HEAD_BYTES
        end = start + length
        if len(data) < end:
            self._forget()
            return None
        body = bytes(data[start:end])
        self._at = end
        if end == len(data):
            self._forget()
        return body

    def _forget(self) -> None:
        if self._at:
            del self._data[: self._at]
            self._at = 0

    def check(self) -> None:
        """Verify the rules, once everything whole was taken.

        Raises:
            AssertionError: If one does not hold.
        """
        assert 0 <= self._at <= len(self._data)
        assert len(self) < HEAD_BYTES + MOST_BYTES, "a whole frame was left, or more than one is kept"

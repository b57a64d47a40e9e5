"""Reads a stream of server-sent events.

1. Lines end with LF, CR or both, wherever the network cuts them.
2. An event is the ``data`` of its lines, joined by LF, and ends with an empty line. Names,
   numbers and comments do not matter to models.
3. What was not ended when the stream is, is handed out by ``rest``: some servers leave
   out the last empty line.

Source: "Server-sent events", HTML Living Standard, section 9.2.6.
"""

from __future__ import annotations

__all__ = ["LONGEST", "EventTooLongError", "ServerEvents"]

LONGEST = 16 << 20
"""Bytes of one event."""

_BOM = b"\xef\xbb\xbf"


class EventTooLongError(Exception):
    """One event is longer than ``LONGEST``."""


class ServerEvents:
    """Cuts one stream into events."""

    __slots__ = ("_after_cr", "_data", "_line", "_size")

    def __init__(self) -> None:
        self._line: list[bytes] = []  # pieces of a line without an end so far
        self._data: list[bytes] = []  # lines of an event without an end so far
        self._size = 0
        self._after_cr = False

    def feed(self, piece: bytes) -> list[bytes]:
        """Take what came and return the data of all events that it ends.

        Raises:
            EventTooLongError: If one is too long.
        """
        if self._after_cr and piece:
            piece = piece.removeprefix(b"\n")
        self._after_cr = piece.endswith(b"\r") or (self._after_cr and not piece)
        events: list[bytes] = []
        for part in piece.splitlines(keepends=True):
            if part.endswith((b"\n", b"\r")):
                self._end_line(part.rstrip(b"\r\n"), events)
            else:
                self._keep(part, self._line)
        return events

    def rest(self) -> bytes | None:
        """Return the data of an event that has not ended, or ``None``."""
        events: list[bytes] = []
        self._end_line(b"", events)
        self._end_line(b"", events)
        return events[0] if events else None

    def _end_line(self, end: bytes, events: list[bytes]) -> None:
        line = end if not self._line else b"".join((*self._line, end))
        self._line.clear()
        line = line.removeprefix(_BOM)
        if line.startswith(b"data"):
            name, _, value = line.partition(b":")
            if name == b"data":
                self._keep(value.removeprefix(b" "), self._data)
        elif not line:
            data = b"\n".join(self._data)
            if data.strip():  # an empty one only keeps the connection open
                events.append(data)
            self._data.clear()
            self._size = 0

    def _keep(self, part: bytes, where: list[bytes]) -> None:
        where.append(part)
        self._size += len(part)
        if self._size > LONGEST:
            raise EventTooLongError

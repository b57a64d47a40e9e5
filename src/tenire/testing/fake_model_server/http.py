"""HTTP/1.1 as far as clients of models speak it: requests from bytes, and the heads of responses.

Pure: bytes in, requests out. The framing rules are those of RFC 9112; what it does
not let through is refused, never guessed.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["BadFramingError", "Request", "RequestReader", "read_form", "response_head"]

_LONGEST_HEAD = 64 << 10
_LONGEST_BODY = 256 << 20
_REASONS = {
    200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 405: "Method Not Allowed",
    429: "Too Many Requests", 500: "Internal Server Error", 503: "Service Unavailable", 529: "Overloaded",
}  # fmt: skip


class BadFramingError(Exception):
    """Bytes that are no request; the connection cannot go on."""


class Request(NamedTuple):
    """One request.

    Attributes:
        method: In capitals.
        path: Without the query.
        query: What follows the question mark.
        headers: By lower-case name.
        body: All of it.
    """

    method: str
    path: str
    query: str
    headers: dict[bytes, bytes]
    body: bytes


class RequestReader:
    """Turns the bytes of a connection into requests."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: tuple[str, str, str, dict[bytes, bytes]] | None = None
        self._length = 0  # of the body; -1 if it comes in chunks
        self._chunks: list[bytes] = []

    def feed(self, data: bytes) -> None:
        """Take in what arrived."""
        self._buffer += data

    def next(self) -> Request | None:
        """Return the next whole request, or ``None`` if more must arrive first.

        Raises:
            BadFramingError: If what arrived is no request.
        """
        if self._head is None and not self._read_head():
            return None
        body = self._read_chunks() if self._length < 0 else self._read_body()
        if body is None or self._head is None:
            return None
        method, path, query, headers = self._head
        self._head = None
        return Request(method, path, query, headers, body)

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _LONGEST_HEAD:
                raise BadFramingError(f"a head longer than {_LONGEST_HEAD} bytes")
            return False
        lines = bytes(self._buffer[:end]).split(b"\r\n")
        del self._buffer[: end + 4]
        words = lines[0].split(b" ")
        try:
            method, target, version = words
        except ValueError:
            raise BadFramingError(f"not a request line: {lines[0][:80]!r}") from None
        if version != b"HTTP/1.1":
            raise BadFramingError(f"expected HTTP/1.1, got {version[:20]!r}")
        headers: dict[bytes, bytes] = {}
        for line in lines[1:]:
            name, colon, value = line.partition(b":")
            if not colon or not name or name != name.strip():
                raise BadFramingError(f"not a header: {line[:80]!r}")
            headers[name.lower()] = value.strip()
        path, _, query = target.decode("latin-1").partition("?")
        self._length = _body_length(headers)
        self._chunks = []
        self._head = method.decode("latin-1"), path, query, headers
        return True

    def _read_body(self) -> bytes | None:
        if len(self._buffer) < self._length:
            return None
        body = bytes(self._buffer[: self._length])
        del self._buffer[: self._length]
        return body

    def _read_chunks(self) -> bytes | None:
        while True:
            end = self._buffer.find(b"\r\n")
            if end < 0:
                return None
            try:
                size = int(bytes(self._buffer[:end]).split(b";")[0], 16)
            except ValueError:
                raise BadFramingError(f"not the size of a chunk: {bytes(self._buffer[:end])[:20]!r}") from None
            if len(self._buffer) < end + 2 + size + 2:
                return None
            self._chunks.append(bytes(self._buffer[end + 2 : end + 2 + size]))
            del self._buffer[: end + 2 + size + 2]
            if size == 0:
                return b"".join(self._chunks)


def _body_length(headers: dict[bytes, bytes]) -> int:
    if b"transfer-encoding" in headers:
        if headers[b"transfer-encoding"].lower() != b"chunked" or b"content-length" in headers:
            raise BadFramingError("a body is either in chunks or of a known length")
        return -1
    text = headers.get(b"content-length", b"0")
    if not text.isdigit() or int(text) > _LONGEST_BODY:
        raise BadFramingError(f"content-length must be a number up to {_LONGEST_BODY}, got {text[:40]!r}")
    return int(text)


def response_head(status: int, length: int | None, extra: bytes, *, kind: bytes = b"application/json") -> bytes:
    """Return the head of a response.

    Args:
        status: The status code.
        length: Bytes of the body; ``None`` if it is sent in chunks.
        extra: Further header lines, each with its line end.
        kind: The content type.
    """
    framing = b"transfer-encoding: chunked" if length is None else b"content-length: %d" % length
    reason = _REASONS.get(status, "Status").encode()
    return b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\n%b\r\n%b\r\n" % (status, reason, kind, framing, extra)


def read_form(request: Request) -> dict[str, tuple[str, bytes]]:
    """Return the parts of a multipart form (RFC 7578) by name; nothing if it is none.

    Each is the name of a file, if it is one, and the content.
    """
    kind, _, mark = request.headers.get(b"content-type", b"").partition(b"boundary=")
    parts: dict[str, tuple[str, bytes]] = {}
    if not kind.startswith(b"multipart/form-data") or not mark:
        return parts
    for part in (b"\r\n" + request.body).split(b"\r\n--" + mark.strip(b'" '))[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        words = (word.partition("=") for word in head.decode(errors="replace").replace("\r\n", ";").split(";"))
        told = {name.strip().lower(): value.strip().strip('"') for name, _, value in words}
        if "name" in told:
            parts[told["name"]] = told.get("filename", ""), content
    return parts

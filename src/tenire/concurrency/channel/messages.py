"""What the two ends of a channel say to each other.

::

    server                              client
      Hello(version, nonce)   ────────►
                              ◄────────   Proof(nonce, mac)
      Welcome(mac)            ────────►
                              ◄────────   Call(number, operation, argument)   any number of them,
      Answer(number, value)   ────────►                                       answered in any order
      Failure(number, …)      ────────►
                              ◄────────   Ping
      Pong                    ────────►
      Refused(reason)         ────────►   and the connection ends; at any time

MessagePack arrays, the name of the message first. Nothing is ever unpickled, and a
message that is not exactly one of these is refused.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from tenire.concurrency.channel.frames import HEAD_BYTES, PeerError, seal
from tenire.errors import ConfigError

__all__ = [
    "CALLS_AT_ONCE", "VERSION", "Answer", "Call", "Failure", "FromClient", "FromServer", "Hello", "Ping", "Pong",
    "Proof", "Refused", "Welcome", "check_name", "from_client", "from_server", "pack",
]  # fmt: skip

VERSION = 1
"""Of the messages; both ends must have the same."""

CALLS_AT_ONCE = 16
"""Calls of one client that may be under way; the server reads nothing more from it until one has ended."""

_LONGEST_NAME = 64

_Secret = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=_LONGEST_NAME)]
_Number = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]


class _Message(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    pass


class Hello(_Message, tag="hello"):
    """The server asks who is there."""

    version: int
    nonce: _Secret


class Proof(_Message, tag="proof"):
    """The client shows that it has the key, and asks the same of the server."""

    nonce: _Secret
    mac: _Secret


class Welcome(_Message, tag="welcome"):
    """The server shows that it has the key. Calls may begin."""

    mac: _Secret


class Call(_Message, tag="call"):
    """The client asks for one operation. ``argument`` is read by the operation itself."""

    number: _Number
    operation: _Name
    argument: msgspec.Raw


class Ping(_Message, tag="ping"):
    """The client is still there."""


class Answer(_Message, tag="answer"):
    """What an operation returned."""

    number: _Number
    value: msgspec.Raw


class Failure(_Message, tag="failure"):
    """How an operation failed: the name of an error class, its message and its hint."""

    number: _Number
    kind: str
    message: str
    hint: str | None


class Pong(_Message, tag="pong"):
    """The server is still there."""


class Refused(_Message, tag="refused"):
    """The server ends the connection, and why."""

    reason: str


FromClient = Proof | Call | Ping
FromServer = Hello | Welcome | Answer | Failure | Pong | Refused

_encoder = msgspec.msgpack.Encoder()
_from_client = msgspec.msgpack.Decoder(FromClient)
_from_server = msgspec.msgpack.Decoder(FromServer)


def check_name(name: object) -> None:
    """Refuse what can be the name of no operation.

    Here, since the other end drops who sends one, and every other call of that connection fails with it.

    Raises:
        ConfigError: If it is no text of 1 to 64 characters.
    """
    if isinstance(name, str) and 0 < len(name) <= _LONGEST_NAME and name.encode(errors="ignore").decode() == name:
        return
    message = f"the name of an operation must be a text of 1 to {_LONGEST_NAME} characters, got {name!r:.100}"
    raise ConfigError(message, key="operation")


def pack(message: _Message) -> bytearray:
    """Return a message as one frame.

    Raises:
        PeerError: If it is too long for a frame.
        UnicodeEncodeError: If it holds a text with bytes that are no text.
    """
    frame = bytearray(HEAD_BYTES)
    _encoder.encode_into(message, frame, HEAD_BYTES)
    seal(frame)
    return frame


def from_client(body: bytes) -> FromClient:
    """Return what a client said.

    Raises:
        PeerError: If it is none of the messages of a client.
    """
    said: FromClient = _read(_from_client, body)
    return said


def from_server(body: bytes) -> FromServer:
    """Return what a server said.

    Raises:
        PeerError: If it is none of the messages of a server.
    """
    said: FromServer = _read(_from_server, body)
    return said


def _read(decoder: msgspec.msgpack.Decoder[Any], body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"expected a message of the control channel, got something else ({error})"
        raise PeerError(message) from error

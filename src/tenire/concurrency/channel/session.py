"""What one client may do when: a pure record of one connection, on the server's side.

::

    GREETED ──proof──► OPEN          deadlines: opened + 10 s, then last heard + 60 s

1. Before the client has shown the key, its proof is the only message that is read.
2. A proof is judged once; a wrong one ends the connection.
3. Heard is who sent a whole message, or was sent an answer. Single bytes do not count:
   a peer that sends one now and then is as idle as one that sends none.
4. While an operation that it asked for is under way, and it takes what it is sent, a
   client is not idle.
"""

from __future__ import annotations

from tenire.concurrency.channel.authentication import matches, prove
from tenire.concurrency.channel.frames import PeerError
from tenire.concurrency.channel.messages import VERSION, Call, Hello, Ping, Pong, Proof, Welcome, from_client, pack

__all__ = ["AUTHENTICATE_S", "IDLE_S", "ServerSession"]

AUTHENTICATE_S = 10.0
IDLE_S = 60.0

_PONG = bytes(pack(Pong()))


class ServerSession:
    """One client, from its connection to its end.

    Args:
        key: The key that it must have.
        nonce: 32 bytes that were never used before.
        now: When it connected, seconds on a clock that never goes back.

    Attributes:
        open: Whether it has shown the key.
    """

    __slots__ = ("_heard_at", "_key", "_nonce", "open")

    def __init__(self, key: bytes, nonce: bytes, now: float) -> None:
        self._key = key
        self._nonce = nonce
        self._heard_at = now
        self.open = False

    def greeting(self) -> bytes:
        """Return the frame to begin with."""
        return bytes(pack(Hello(VERSION, self._nonce)))

    def receive(self, body: bytes, now: float) -> tuple[bytes | None, Call | None]:
        """Take one frame; return the frame to answer at once, and the call to carry out.

        Raises:
            PeerError: If the client broke a rule; the connection has to end.
        """
        message = from_client(body)
        if not self.open:
            return self._welcome(message, now), None
        if isinstance(message, Proof):
            reason = "expected a call, got a second proof of the key"
            raise PeerError(reason)
        self._heard_at = now
        if isinstance(message, Ping):
            return _PONG, None
        return None, message

    def _welcome(self, message: object, now: float) -> bytes:
        if not isinstance(message, Proof):
            reason = "expected the proof of the key, got another message"
            raise PeerError(reason)
        if not matches(message.mac, prove(self._key, "client", self._nonce, message.nonce)):
            reason = "the key is not this engine's; it stands in control.key in the home and is new with each engine"
            raise PeerError(reason)
        self.open = True
        self._heard_at = now
        return bytes(pack(Welcome(prove(self._key, "server", self._nonce, message.nonce))))

    def answered(self, now: float) -> None:
        """Take in that the client was sent an answer."""
        self._heard_at = now

    @property
    def deadline(self) -> float:
        """When it will have been silent for too long."""
        return self._heard_at + (IDLE_S if self.open else AUTHENTICATE_S)

    def silence(self) -> str:
        """Return what to tell a client that passed its deadline."""
        if self.open:
            return f"nothing was heard for {IDLE_S:.0f} s, or answers were not taken"
        return f"the key was not shown within {AUTHENTICATE_S:.0f} s"

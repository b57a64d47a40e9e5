"""How both ends show that they have the same key, without sending it.

Each sends 32 random bytes, and gets back an HMAC of both and of who answers. The two
answers differ by that last part, so neither end can be made to produce the other's
(ISO/IEC 9798-4, mutual authentication with a check function in three passes). The
client answers first: whoever has no key learns nothing from the server but its nonce.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Literal

__all__ = ["KEY_BYTES", "matches", "new_key", "new_nonce", "prove"]

KEY_BYTES = 32


def new_key() -> bytes:
    """Return a random key."""
    return secrets.token_bytes(KEY_BYTES)


def new_nonce() -> bytes:
    """Return random bytes that are used once."""
    return secrets.token_bytes(32)


def prove(key: bytes, who: Literal["server", "client"], server_nonce: bytes, client_nonce: bytes) -> bytes:
    """Return the 32 bytes that show that ``who`` has the key."""
    text = b"tenire control channel 1 " + who.encode() + b" " + server_nonce + client_nonce
    return hmac.digest(key, text, hashlib.sha256)


def matches(proof: bytes, expected: bytes) -> bool:
    """Return whether two proofs are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(proof, expected)

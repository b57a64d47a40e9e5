"""Items on their way, as lines of JSON: exactly what is kept, hashed and, in the end, put out.

An item travels as bytes, so that what it holds is the same whether it comes from
the stage before or from what an earlier run has kept, and so that its bytes are known.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["hash_of", "record_of"]


def record_of(identity: str | int, fields: Mapping[str, Any]) -> bytes:
    """Return an item with its id as one line, without its line break.

    Raises:
        TypeError: If it holds what JSON cannot hold.
        ValueError: The same, for values.
    """
    record = {"id": identity}
    record.update(fields)
    record["id"] = identity
    try:
        return msgspec.json.encode(record, enc_hook=_plain)
    except UnicodeEncodeError:  # half of a pair of surrogates, which only an escape can say
        return json.dumps(record).encode()
    except (OverflowError, RecursionError) as error:
        raise ValueError(str(error)) from error


def hash_of(*parts: str | bytes) -> str:
    """Return a hash of 32 hexadecimal digits of what is joined."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    """Return arrays and numbers of numpy as what JSON can hold."""
    if callable(listed := getattr(value, "tolist", None)):
        return listed()
    message = f"JSON cannot hold an object of type {type(value).__name__}"
    raise TypeError(message)

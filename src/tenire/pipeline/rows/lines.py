"""One record as a line of JSON."""

from __future__ import annotations

import json
from typing import Any

import msgspec

__all__ = ["line"]


def line(record: dict[str, Any]) -> bytes:
    """Return one line of JSON, with its line break."""
    try:
        return msgspec.json.encode(record) + b"\n"
    except UnicodeEncodeError:  # half of a pair of surrogates, which only an escape can say
        return json.dumps(record).encode() + b"\n"

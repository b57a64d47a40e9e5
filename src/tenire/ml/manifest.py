"""What is written beside a model: what it is, what it was made from, and the sum of each of its files."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

__all__ = ["FORMAT", "KINDS", "Manifest", "sum_of"]

FORMAT = 1

KINDS = ("classifier", "onnx", "arrays", "pickle")
"""What a model can be: a pipeline of ours, a graph, coefficients, or a Python object."""


def sum_of(data: bytes) -> str:
    """Return the SHA-256 of a file's bytes, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One version of a model.

    Attributes:
        name: The model's name.
        version: Names the version within the model.
        kind: One of ``KINDS``.
        files: SHA-256 of each file, by its name.
        metrics: How good it is, as it was measured when it was made.
        lineage: What it was made from.
        settings: What it needs to be used as it was made.
        made_at: Seconds since the epoch.
        seal: Of a ``pickle``: proof that this home has taken it in itself.
        format: Of this record.
    """

    name: str
    version: str
    kind: str
    files: dict[str, str]
    metrics: dict[str, Any] = {}
    lineage: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    made_at: float = 0.0
    seal: str = ""
    format: int = FORMAT

    def checked(self) -> bytes:
        """Return it as a file: two lines, the sum of the second in front."""
        line = msgspec.json.encode(self)
        return f"{sum_of(line)}\n".encode() + line + b"\n"

    @classmethod
    def read(cls, data: bytes) -> Manifest:
        """Return what a file says.

        Raises:
            ValueError: If it is damaged, or of another version of Tenire.
        """
        first, _, rest = data.partition(b"\n")
        line = rest.removesuffix(b"\n")
        if first.decode("ascii", "replace") != sum_of(line):
            message = "its manifest does not have the sum that stands in front of it"
            raise ValueError(message)
        if (version := msgspec.json.decode(line).get("format")) != FORMAT:
            message = f"its manifest has the format {version!r}, and this version of Tenire reads {FORMAT}"
            raise ValueError(message)
        try:
            return msgspec.json.decode(line, type=cls)
        except msgspec.MsgspecError as error:
            message = f"its manifest says what this version of Tenire does not know: {error}"
            raise ValueError(message) from error

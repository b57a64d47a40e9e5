"""How much memory a model takes, read from its file before it is loaded.

That is the file, as it is, the keys and values that the model keeps for each token of its prompts and
replies, and what the runtime takes for itself. The format of the file is GGUF: a header of named values
(https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), of which a few tell the model's shape.
"""

from __future__ import annotations

import contextlib
import struct
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["needed_memory"]

_RUNTIME_BYTES = 64 << 20
"""The process, the runtime, and what it computes in between."""

_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9
_LONGEST_NAME = 1 << 16
_MOST_LAYERS = 1 << 12
_KEY_AND_VALUE = 2
_BYTES_OF_A_NUMBER = 2

_SHAPE = (
    "block_count", "embedding_length", "attention.head_count", "attention.head_count_kv", "attention.key_length",
)  # fmt: skip


def needed_memory(weights: Path, tokens: int) -> int:
    """Return the bytes that a model is thought to take once it is loaded; blocks.

    Args:
        weights: Its file.
        tokens: Tokens of prompts and replies, all that it works on at once together.
    """
    with weights.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        shape: dict[str, int] = {}
        with contextlib.suppress(ValueError, OverflowError, struct.error):  # the runtime says what is wrong with it
            _read_shape(file, shape)
    return size + tokens * _of_a_token(shape) + _RUNTIME_BYTES


def _of_a_token(shape: dict[str, int]) -> int:
    layers, width = shape.get("block_count", 0), shape.get("embedding_length", 0)
    heads = max(1, shape.get("attention.head_count", 1))
    shared = shape.get("attention.head_count_kv", heads)
    length = shape.get("attention.key_length", width // heads)
    return layers * shared * length * _KEY_AND_VALUE * _BYTES_OF_A_NUMBER


def _read_shape(file: IO[bytes], shape: dict[str, int]) -> None:
    """Add what the header tells of a model's shape, as far as it comes before its words."""
    magic, version, _, values = struct.unpack("<4sIQQ", file.read(24))
    if magic != b"GGUF" or version < 2:
        raise ValueError(f"a header that is not known: {magic!r}, version {version}")
    for _ in range(values):
        name = _text(file)
        value = _value(file, *_unpack(file, "I"))
        kind = name.partition(".")[2]
        if kind in _SHAPE and isinstance(value, int):
            shape[kind] = value
        elif name.startswith("tokenizer."):
            return  # hundreds of thousands of words, and nothing after them


def _unpack(file: IO[bytes], form: str) -> tuple[Any, ...]:
    return struct.unpack(f"<{form}", file.read(struct.calcsize(f"<{form}")))


def _text(file: IO[bytes]) -> str:
    (length,) = _unpack(file, "Q")
    if length > _LONGEST_NAME:
        file.seek(length, 1)
        return ""
    return file.read(length).decode("utf-8", "replace")


def _value(file: IO[bytes], kind: int) -> Any:
    """Return a value; of an array of numbers, the largest."""
    if kind in _NUMBERS:
        return _unpack(file, _NUMBERS[kind])[0]
    if kind == _TEXT:
        return _text(file)
    if kind != _ARRAY:
        raise ValueError(f"a value of a type that is not known: {kind}")
    element, length = _unpack(file, "IQ")
    if length > _MOST_LAYERS or element == _ARRAY:
        raise ValueError(f"a list that no shape has, of {length} values of type {element}")
    return max((_value(file, element) for _ in range(length)), default=None)

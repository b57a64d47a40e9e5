"""What a model takes is read from its file."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest

from tenire.llm.local.needs import needed_memory
from tenire.llm.local.weights import find_weights

if TYPE_CHECKING:
    from pathlib import Path

NUMBER, TEXT, LIST, LARGE = 4, 8, 9, 10


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def gguf(*values: tuple[str, int, Any], version: int = 3) -> bytes:
    """Return the header of a file with these values, each a name, a type and a value."""
    header = struct.pack("<4sIQQ", b"GGUF", version, 0, len(values))
    for name, kind, value in values:
        header += text(name) + struct.pack("<I", kind)
        if kind == TEXT:
            header += text(value)
        elif kind == LIST:
            element, items = value
            header += struct.pack("<IQ", element, len(items))
            header += b"".join(text(item) if element == TEXT else struct.pack("<I", item) for item in items)
        else:
            header += struct.pack("<I" if kind == NUMBER else "<Q", value)
    return header


SHAPE = (
    ("general.architecture", TEXT, "llama"),
    ("general.tags", LIST, (TEXT, ["small", "chat"])),
    ("llama.block_count", NUMBER, 10),
    ("llama.embedding_length", NUMBER, 64),
    ("llama.attention.head_count", NUMBER, 8),
)
WORDS = ("tokenizer.ggml.tokens", LIST, (TEXT, ["a"] * 10_000))


def of_tokens(path: Path, *values: tuple[str, int, Any]) -> int:
    """Return the bytes that a thousand tokens take."""
    path.write_bytes(gguf(*values))
    return needed_memory(path, 1000) - needed_memory(path, 0)


def test_each_token_takes_a_key_and_a_value_in_each_layer(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    assert of_tokens(path, *SHAPE, WORDS) == 1000 * 10 * 64 * 2 * 2


@pytest.mark.parametrize(
    ("further", "part"),
    [
        (("llama.attention.head_count_kv", NUMBER, 2), 2 / 8),
        (("llama.attention.head_count_kv", LIST, (NUMBER, [1, 4, 2])), 4 / 8),
        (("llama.attention.key_length", NUMBER, 16), 16 / 8),
        (("llama.context_length", LARGE, 9), 1),
    ],
)
def test_heads_that_share_keys_and_heads_of_another_length_are_taken_in(
    tmp_path: Path, further: tuple[str, int, Any], part: float
) -> None:
    assert of_tokens(tmp_path / "model.gguf", *SHAPE, further, WORDS) == 1000 * 10 * 64 * 2 * 2 * part


@pytest.mark.parametrize(
    "content",
    [
        b"GGUF and nothing else",
        b"GGUF",
        gguf(*SHAPE, version=1),
        gguf(*SHAPE)[:150],
        struct.pack("<4sIQQQ", b"GGUF", 3, 0, 1, (1 << 64) - 1),
        gguf(("a", LIST, (NUMBER, [1] * 5000))),
        gguf(("a", 99, 0)),
    ],
)
def test_a_file_that_is_damaged_is_thought_to_take_its_size_at_least(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    assert needed_memory(path, 10) >= len(content)


def test_the_model_that_comes_in_a_package_is_known() -> None:
    weights = find_weights("local")
    assert needed_memory(weights, 8192) - needed_memory(weights, 0) == 8192 * 30 * 3 * 64 * 2 * 2
    assert needed_memory(weights, 0) > weights.stat().st_size

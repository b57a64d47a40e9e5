"""Tokens, and replies that follow from their prompts alone."""

from __future__ import annotations

import math
import struct
from hashlib import blake2b
from typing import Any
from urllib.parse import unquote

__all__ = ["count_tokens", "missing_reference", "prompt_key", "reply_text", "unit_vector", "value_of_schema"]

_BYTES_PER_TOKEN = 4
_DEEPEST = 12


def count_tokens(text: str) -> int:
    """Return the tokens of a text: one for every four bytes of UTF-8, begun ones included."""
    length = len(text) if text.isascii() else len(text.encode())
    return -(-length // _BYTES_PER_TOKEN)


def prompt_key(model: str, prompt: str) -> int:
    """Return 64 bits that stand for a prompt of a model."""
    return int.from_bytes(blake2b(f"{model}\0{prompt}".encode(errors="replace"), digest_size=8).digest(), "big")


def reply_text(prompt: str, key: int, tokens: int) -> str:
    """Return a reply of so many tokens: the prompt's key, then the prompt's words again and again."""
    length = tokens * _BYTES_PER_TOKEN
    head = f"{key:016x}: "
    said = " ".join(prompt[: length + 64].split()).encode("ascii", "replace").decode() or "nothing"
    text = head + (said + " ") * (max(0, length - len(head)) // (len(said) + 1) + 1)
    # No blank at the end: clients that strip replies would see another text.
    return text[: length - 1].rstrip() + "." if length > 1 else text[:1]


def unit_vector(text: str, dimensions: int) -> list[float]:
    """Return a vector of length 1 that depends on the text alone."""
    raw = b""
    turn = 0
    data = text.encode(errors="replace")
    while len(raw) < dimensions * 2:
        raw += blake2b(data, digest_size=64, salt=turn.to_bytes(4, "big")).digest()
        turn += 1
    values = [value / 32768 for value in struct.unpack(f">{dimensions}h", raw[: dimensions * 2])]
    length = math.sqrt(math.fsum(value * value for value in values)) or 1.0
    return [value / length for value in values]


def value_of_schema(schema: Any, key: int, root: Any = None, depth: int = 0) -> Any:
    """Return a value that a JSON schema allows, chosen by a key.

    Knows what structured replies use: types, ``properties``, ``items``, ``enum``, ``const``,
    ``anyOf``/``oneOf``, ``$ref`` within the schema, and the bounds of lengths and numbers.
    """
    root = schema if root is None else root
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return None
    if "$ref" in schema:
        return value_of_schema(_resolve(schema["$ref"], root), key, root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][key % len(schema["enum"])]
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return value_of_schema(schema[choice][key % len(schema[choice])], key, root, depth + 1)
    return _typed(schema, key, root, depth)


def missing_reference(schema: Any) -> str | None:
    """Return a ``$ref`` of a JSON schema that points to no part of it, if there is one."""
    ahead = [schema]
    while ahead:
        part = ahead.pop()
        if isinstance(part, dict) and isinstance(part.get("$ref"), str):
            try:
                _resolve(part["$ref"], schema)
            except LookupError:
                return str(part["$ref"])
        inner = part.items() if isinstance(part, dict) else enumerate(part if isinstance(part, list) else ())
        ahead += [one for name, one in inner if name not in ("const", "enum")]
    return None


def _resolve(reference: str, root: Any) -> Any:
    """Return the part of a schema that a reference points to.

    Raises:
        LookupError: If there is none.
    """
    path = unquote(reference.removeprefix("#"))
    if reference == path or (path and not path.startswith("/")):
        raise LookupError(reference)
    found = root
    for step in path.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list):
            found = found[int(name)] if name.isdecimal() and int(name) < len(found) else None
        else:
            found = found.get(name) if isinstance(found, dict) else None
        if found is None:
            raise LookupError(reference)
    return found


def _typed(schema: dict[str, Any], key: int, root: Any, depth: int) -> Any:
    kind = schema.get("type", "object")
    kind = kind[key % len(kind)] if isinstance(kind, list) else kind
    if kind == "object":
        parts = schema.get("properties", {})
        return {name: value_of_schema(part, _other(key, name), root, depth + 1) for name, part in parts.items()}
    if kind == "array":
        least, most = schema.get("minItems", 0), schema.get("maxItems", schema.get("minItems", 0) + 2)
        size = least + key % (most - least + 1)
        items = schema.get("items", {"type": "string"})
        return [value_of_schema(items, _other(key, str(place)), root, depth + 1) for place in range(size)]
    if kind in ("integer", "number"):
        least = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
        most = schema.get("maximum", schema.get("exclusiveMaximum", least + 101) - 1)
        return math.ceil(least) + key % max(1, math.floor(most) - math.ceil(least) + 1)
    if kind == "boolean":
        return key % 2 == 0
    if kind == "null":
        return None
    text = f"{key:016x}"
    text += "0" * (schema.get("minLength", 0) - len(text))
    return text[: schema.get("maxLength", len(text))]


def _other(key: int, name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8, key=key.to_bytes(8, "big")).digest(), "big")

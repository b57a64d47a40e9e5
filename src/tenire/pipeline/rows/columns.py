"""Which type a column of a table has, when its values come one record of JSON after the other.

::

    null ─► bool ──────────┐
        ─► int ─► float ───┤
        ─► text ───────────┼─► json
        ─► list of one of these ┘

What fits nowhere else, as objects and a mixture of texts and numbers, becomes its JSON as a text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["as_column", "column_types", "joined", "printable"]

_EXACT = 2**53
"""The largest whole number up to which a float holds each of them."""

_LARGEST = 2**63


def column_types(records: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the type of each column: ``null``, ``bool``, ``int``, ``float``, ``text``, ``json``, ``list of …``."""
    types: dict[str, str] = {}
    large: set[str] = set()
    for record in records:
        for name, value in record.items():
            found = _type_of(value)
            if found == "int" and not -_EXACT <= value <= _EXACT:
                large.add(name)
            types[name] = joined(types.get(name, "null"), found)
    # A float would round them.
    return {name: "json" if kind == "float" and name in large else kind for name, kind in types.items()}


def joined(one: str, other: str) -> str:
    """Return the type that holds values of two types."""
    if one == other or other == "null":
        return one
    if one == "null":
        return other
    if {one, other} == {"int", "float"}:
        return "float"
    if one.startswith("list of ") and other.startswith("list of "):
        inner = joined(one.removeprefix("list of "), other.removeprefix("list of "))
        return "json" if inner == "json" else f"list of {inner}"
    return "json"


def as_column(value: Any, kind: str) -> Any:
    """Return a value as a column of a type holds it; ``None`` stays ``None``."""
    if value is None:
        return None
    if kind == "json":
        return msgspec.json.encode(value).decode()
    if kind == "float":
        return float(value)
    if kind == "text":
        return printable(value)
    if kind.startswith("list of "):
        inner = kind.removeprefix("list of ")
        return [as_column(each, inner) for each in value]
    return value


def printable(text: str) -> str:
    """Return a text that UTF-8 can hold: half of a pair of surrogates is written as its escape."""
    return text.encode("utf-8", "backslashreplace").decode()


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if -_LARGEST <= value < _LARGEST else "json"
    if isinstance(value, float):
        return "float"
    if isinstance(value, str):
        return "text"
    if isinstance(value, list) and None not in value:
        inner = "null"
        for each in value:
            inner = joined(inner, _type_of(each))
        if inner not in ("json", "int") or (inner == "int" and all(-_EXACT <= each <= _EXACT for each in value)):
            return "json" if inner.startswith("list") else f"list of {inner}"
    return "json"

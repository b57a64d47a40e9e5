"""How one value of a configuration file is read, refused and shown.

A ``Rule`` says in plain words what a key expects and turns the TOML value into
the value that the settings hold. Rules raise ``ValueError``; the reader of
tables adds file, key and value.
"""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Rule",
    "amount",
    "choice",
    "choice_or_table",
    "is_dsn",
    "limit",
    "line_share",
    "names",
    "parse_size",
    "paths",
    "pattern",
    "share",
    "show",
    "size",
    "sources",
    "text",
    "truth",
    "whole",
    "words",
]

_UNITS = {
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_SIZE = re.compile(r"\s*(\d{1,15}(?:\.\d{1,6})?)\s*([kmgt]?i?b)?\s*", re.IGNORECASE | re.ASCII)
_SECRET = re.compile(r"key|token|secret|password", re.IGNORECASE)
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Rule:
    """What one key accepts.

    Attributes:
        expected: What a valid value is, completing "must be …".
        parse: Turns the value of the file into the value of the settings;
            raises ``ValueError`` for everything else.
        choices: The valid values, if they can be listed.
        private: Whether a refused value must not be repeated in a message.
    """

    expected: str
    parse: Callable[[Any], Any]
    choices: tuple[str, ...] = ()
    private: bool = False


def _converts_to(kind: Any) -> Callable[[Any], Any]:
    def parse(value: Any) -> Any:
        # msgspec.ValidationError is a ValueError; strict refuses "3" for 3 and true for 1.
        converted = msgspec.convert(value, kind, strict=True)
        if isinstance(converted, float) and not math.isfinite(converted):
            message = "not a finite number"
            raise ValueError(message)
        return converted

    return parse


def whole(expected: str, *, minimum: int, maximum: int = 2**53) -> Rule:
    """Return a rule for a whole number from ``minimum`` to ``maximum``."""
    return Rule(expected, _converts_to(Annotated[int, msgspec.Meta(ge=minimum, le=maximum)]))


def amount(expected: str, *, above: float = 0, minimum: float | None = None, maximum: float | None = None) -> Rule:
    """Return a rule for a finite number from ``minimum`` on or, without one, greater than ``above``."""
    bound = msgspec.Meta(gt=above, le=maximum) if minimum is None else msgspec.Meta(ge=minimum, le=maximum)
    return Rule(expected, _converts_to(Annotated[float, bound]))


def text(expected: str) -> Rule:
    """Return a rule for a text that is not empty."""
    return Rule(expected, _text)


def pattern(expected: str, regex: str, *, choices: tuple[str, ...] = (), private: bool = False) -> Rule:
    """Return a rule for a text that matches the whole of a regular expression."""
    compiled = re.compile(regex)

    def parse(value: Any) -> str:
        if not isinstance(value, str) or compiled.fullmatch(value) is None:
            raise ValueError(expected)
        return value

    return Rule(expected, parse, choices=choices, private=private)


def choice(*values: str) -> Rule:
    """Return a rule for one of a few words."""

    def parse(value: Any) -> str:
        if value not in values or not isinstance(value, str):
            message = "not one of the choices"
            raise ValueError(message)
        return value

    return Rule("one of " + ", ".join(f'"{value}"' for value in values), parse, choices=values)


def choice_or_table(table: type[Any], key: str, *values: str, shown: str) -> Rule:
    """Return a rule for one of a few words, or for a table that says more.

    Args:
        table: What both are read into.
        key: The table's key that the word stands for.
        *values: The words.
        shown: What such a table looks like.
    """

    def parse(value: Any) -> Any:
        return msgspec.convert(value if isinstance(value, dict) else {key: value}, table, strict=True)

    return Rule(f"{choice(*values).expected}, or {shown}", parse, choices=values)


def paths(expected: str = "a path, or a list of paths and patterns, none of them empty") -> Rule:
    """Return a rule for one path or several; a leading ``~`` is expanded."""

    def parse(value: Any) -> tuple[str, ...]:
        entries = [value] if isinstance(value, str) else value
        if not isinstance(entries, list) or not entries:
            raise ValueError(expected)
        return tuple(os.path.expanduser(_text(entry)) for entry in entries)

    return Rule(expected, parse)


def sources(**tables: type[Any]) -> Rule:
    """Return a rule for paths, or for a table that says where they or rows come from.

    Args:
        **tables: What such a table is read into, by the key that tells it from others.
    """
    listed = paths()
    shown = {
        "list": '{ list = "FILE" }',
        "database": '{ database = "FILE or DSN", query = "SELECT …" }',
        "rows": '{ rows = "FILE" }',
        "urls": '{ urls = "FILE", depth = 1 }',
    }
    expected = " or ".join([listed.expected, *(shown[key] for key in tables)])

    def parse(value: Any) -> Any:
        if not isinstance(value, dict):
            return listed.parse(value)
        kind = next((kind for key, kind in tables.items() if key in value), None)
        if kind is None:
            raise ValueError(expected)
        return msgspec.convert(value, kind, strict=True)

    return Rule(expected, parse)


def names(expected: str, regex: str = r".*") -> Rule:
    """Return a rule for a list of names that match a regular expression; one name alone is a list of one."""
    compiled = re.compile(regex, re.DOTALL)

    def parse(value: Any) -> tuple[str, ...]:
        entries = [value] if isinstance(value, str) else value
        if not isinstance(entries, list):
            raise ValueError(expected)  # noqa: TRY004 - one class for every refused value
        if any(compiled.fullmatch(_text(entry)) is None for entry in entries):
            raise ValueError(expected)
        return tuple(entries)

    return Rule(expected, parse)


def words(*values: str) -> Rule:
    """Return a rule for a list of some of a few words; one word alone is a list of one."""
    listed = ", ".join(f'"{value}"' for value in values)
    return Rule(f"a list of {listed}", names("", "|".join(map(re.escape, values))).parse, choices=values)


def truth() -> Rule:
    """Return a rule for ``true`` or ``false``."""
    return Rule("true or false", _converts_to(bool))


def limit() -> Rule:
    """Return a rule for a number from 0, or ``true`` for the usual one, or ``false`` for none."""
    number = amount("", minimum=0)

    def parse(value: Any) -> Any:
        return value if isinstance(value, bool) else number.parse(value)

    return Rule("a number from 0, or true for the usual limit", parse)


def share() -> Rule:
    """Return a rule for a share of words, or ``true`` for the usual one, or ``false`` for none."""
    number = amount("", minimum=0.5, maximum=1)

    def parse(value: Any) -> Any:
        return value if isinstance(value, bool) else number.parse(value)

    return Rule("a number from 0.5 to 1, true for 0.9, or false", parse)


def line_share() -> Rule:
    """Return a rule for a share of documents, or ``true`` for the usual one, or ``false`` for none."""
    number = amount("", minimum=0.01, maximum=1)

    def parse(value: Any) -> Any:
        return value if isinstance(value, bool) else number.parse(value)

    return Rule("a number from 0.01 to 1, true for 0.2, or false", parse)


def size(expected: str, *, minimum: int) -> Rule:
    """Return a rule for a number of bytes, as a number or as ``"500MB"``."""

    def parse(value: Any) -> int:
        count = parse_size(value)
        if count < minimum:
            raise ValueError(expected)
        return count

    return Rule(expected, parse)


def parse_size(value: Any) -> int:
    """Return a number of bytes.

    Args:
        value: A whole number of bytes, or a text with a unit: ``B``, ``KB``,
            ``MB``, ``GB``, ``TB`` (powers of 1000) or ``KiB`` … ``TiB``
            (powers of 1024).

    Raises:
        ValueError: If it is neither.

    >>> parse_size("1.5KiB")
    1536
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None or (match[2] or "b").lower() not in _UNITS:
        message = "not a size"
        raise ValueError(message)
    return int(float(match[1]) * _UNITS[(match[2] or "b").lower()])


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        message = "not a text with something in it"
        raise ValueError(message)
    return value


def is_dsn(store: str) -> bool:
    """Return whether a store's name is an address (``scheme://…``), not a directory."""
    return "://" in store


def show(value: Any, key: str = "", *, private: bool = False) -> str:
    """Return a value as a message may repeat it: short, and never a secret.

    Args:
        value: A value from a TOML file.
        key: Its key; the values of ``api_key`` and the like are not repeated.
        private: Whether the value is not repeated in any case.
    """
    if isinstance(value, str) and (private or (_SECRET.search(key) and not key.endswith("_env"))):
        return f"a text of {len(value)} characters"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list) and any(isinstance(entry, (dict, list)) for entry in value):
        return "a list of tables" if isinstance(value[0], dict) else "a list of lists"
    if isinstance(value, (str, bool, int, list)):
        shown = json.dumps(value, ensure_ascii=False, default=str)
    else:
        shown = str(value)
    # Passwords in an address: postgresql://user:secret@host/name?password=secret.
    shown = re.sub(r"://[^/@\s]*@", "://…@", shown)
    shown = re.sub(r"([?&](?:ssl)?password=)[^&\s\"]*", r"\1…", shown)
    return shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…"

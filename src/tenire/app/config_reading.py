"""From a TOML file to settings: syntax, unknown keys, wrong types.

Every refusal is one ``ConfigError`` whose message names the file, the dotted
key, the value that came and what was expected.
"""

from __future__ import annotations

import difflib
import functools
import re
import tomllib
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

import msgspec

from tenire.app.config_values import Rule, choice, show
from tenire.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = ["Reader", "nearest", "parse_toml", "suggestion"]

_S = TypeVar("_S", bound=msgspec.Struct)
_PLACE = re.compile(r"^(.*?) \(at (?:line (\d+), column (\d+)|end of document)\)$", re.DOTALL)


@functools.cache
def _keys(kind: type[msgspec.Struct]) -> dict[str, tuple[Any, bool]]:
    """Return the annotation of each key, and whether the key must be there."""
    # Evaluating annotations costs a millisecond a class; a file may hold many tables.
    hints = get_type_hints(kind, include_extras=True)
    return {field.encode_name: (hints[field.name], field.required) for field in msgspec.structs.fields(kind)}


def nearest(word: str, valid: Iterable[str]) -> str | None:
    """Return the valid word that looks most like ``word``, or ``None``."""
    lowered = {candidate.lower(): candidate for candidate in valid}
    close = difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=0.5)
    return lowered[close[0]] if close else None


def suggestion(word: str, valid: Iterable[str]) -> str:
    """Return ``; did you mean "…"?``, or an empty text when nothing is near."""
    close = nearest(word, valid)
    return f'; did you mean "{close}"?' if close else ""


def parse_toml(path: Path, shown: str) -> dict[str, Any]:
    """Read and parse a TOML file.

    Args:
        path: The file.
        shown: Its name in messages.

    Raises:
        ConfigError: If it cannot be read, is not UTF-8 or not TOML; names line
            and column where there are any.
    """

    def refuse(reason: str, hint: str | None = None) -> ConfigError:
        return ConfigError(f"{shown}{reason}", file=shown, hint=hint)

    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        if isinstance(error, FileNotFoundError):
            start = 'start with two lines: [pipelines.docs] and source = "docs"; or without a file: tenire ingest DIR'
            raise refuse(": no such file", start) from error
        # Windows says PermissionError for a directory.
        if isinstance(error, OSError) and path.is_dir():
            raise refuse(": expected a TOML file, got a directory", f"to read it: tenire ingest {shown}") from error
        raise refuse(f": cannot be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        document = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        got = f"the byte 0x{content[error.start]:02x}"
        raise refuse(f", line {line}, column {column}: expected UTF-8, got {got}", "save the file as UTF-8") from error
    try:
        return tomllib.loads(document)
    except RecursionError as error:
        raise refuse(": nested too deeply to be a configuration") from error
    except ValueError as error:  # TOMLDecodeError, and int() on thousands of digits
        match = _PLACE.match(str(error))
        place = ""
        if match and match[2]:
            place = f", line {match[2]}, column {match[3]}"
        elif match:
            lines = document.splitlines() or [""]
            place = f", line {len(lines)}, column {len(lines[-1]) + 1}"
        raise refuse(f"{place}: not valid TOML: {match[1] if match else error}") from error


class Reader:
    """Reads the tables of one file into settings.

    Args:
        shown: The file's name in messages; empty for the command line.
    """

    def __init__(self, shown: str) -> None:
        self._shown = shown

    def error(self, message: str, key: str, *, hint: str | None = None) -> ConfigError:
        """Return the error for one key, with the file's name in front."""
        prefix = f"{self._shown}: " if self._shown else ""
        return ConfigError(f"{prefix}{message}", file=self._shown or None, key=key, hint=hint)

    def table(self, value: Any, key: str) -> dict[str, Any]:
        """Return a value that must be a table.

        Raises:
            ConfigError: If it is something else.
        """
        if not isinstance(value, dict):
            message = f"{key} must be a table, got {show(value, key)}"
            raise self.error(message, key, hint=f"write it as [{key}]")
        return value

    def choice(self, value: Any, key: str, values: Iterable[str]) -> str:
        """Return a value that must be one of a few words.

        Raises:
            ConfigError: If it is something else.
        """
        parsed: str = self.value(value, key, choice(*values))
        return parsed

    def known_keys(self, raw: Mapping[str, Any], valid: Iterable[str], prefix: str, *, note: str = "") -> None:
        """Refuse the first key of a table that is not valid.

        Args:
            raw: The table.
            valid: Its valid keys.
            prefix: Dotted key of the table, or an empty text for the file.
            note: What to add to the message.

        Raises:
            ConfigError: Names the key, its value and the nearest valid key.
        """
        valid = tuple(valid)
        for key, value in raw.items():
            if key not in valid:
                dotted = f"{prefix}.{key}" if prefix else key
                message = f"unknown key {dotted} = {show(value, key)}{suggestion(key, valid)}{note}"
                where = f"of [{prefix}]" if prefix else "at the top"
                raise self.error(message, dotted, hint=f"valid keys {where}: {', '.join(sorted(valid))}")

    def struct(self, kind: type[_S], raw: Mapping[str, Any], prefix: str) -> _S:
        """Read one table into its settings.

        Args:
            kind: The settings' class; its annotations hold the rules.
            raw: The table.
            prefix: Dotted key of the table.

        Raises:
            ConfigError: For an unknown or missing key, or a refused value.
        """
        keys = _keys(kind)
        self.known_keys(raw, keys, prefix)
        values = {}
        for name, (hint, required) in keys.items():
            key = f"{prefix}.{name}"
            rule = next((entry for entry in getattr(hint, "__metadata__", ()) if isinstance(entry, Rule)), None)
            if name in raw:
                values[name] = self.value(raw[name], key, rule) if rule else self._nested(hint, raw[name], key)
            elif required:
                expected = rule.expected if rule else "a table"
                message = f"{key} is missing; it must be {expected}"
                raise self.error(message, key, hint=f"add {name} = … under [{prefix}]")
        return kind(**values)

    def _nested(self, hint: Any, value: Any, key: str) -> Any:
        # The only key without a rule is an optional sub-table.
        kind = next(entry for entry in get_args(hint) if isinstance(entry, type) and issubclass(entry, msgspec.Struct))
        return self.struct(kind, self.table(value, key), key)

    def value(self, value: Any, key: str, rule: Rule) -> Any:
        """Return what a rule makes of a value.

        Raises:
            ConfigError: If the rule refuses it.
        """
        try:
            return rule.parse(value)
        except ValueError as error:
            close = suggestion(value, rule.choices) if isinstance(value, str) else ""
            shown = show(value, key.rpartition(".")[2], private=rule.private)
            message = f"{key} must be {rule.expected}, got {shown}{close}"
            if isinstance(value, dict) and isinstance(error, msgspec.ValidationError):
                message += f": {error}"  # which of its keys it is
            raise self.error(message, key) from error

"""One row of a source, and what its id is."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from tenire.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["BrokenRow", "Row", "Rows", "content_hash", "missing_field", "row_or_broken"]

_SHOWN = 40

_TEMPLATES = ("prompt", "system")
"""Settings that name fields in braces."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Attributes:
        key: Its id as JSON, so that ``1`` and ``"1"`` are two ids.
        id: Its id: the field ``id``, or the hash of its content.
        named: Whether the id stands in the row, and is no hash.
        file: Absolute path of its file.
        place: Where it stands there, for example ``line 7``.
        fields: Its fields by name; never changed.
        size: Bytes that it takes in its file, about.
    """

    key: str
    id: str | int
    named: bool
    file: str
    place: str
    fields: Mapping[str, Any]
    size: int

    @property
    def source(self) -> str:
        """What names the row in messages: ``FILE#ID``."""
        return f"{self.file}#{str(self.id).encode('utf-8', 'backslashreplace').decode()}"


@dataclass(frozen=True, slots=True)
class BrokenRow:
    """Something in a file that is no row.

    Attributes:
        file: Absolute path of the file.
        place: Where it stands there; with the file, it is all that names it.
        error: What was expected, and what came.
        content: Hash of what stands there.
        size: Bytes that it takes in its file, about.
    """

    file: str
    place: str
    error: str
    content: str
    size: int

    @property
    def key(self) -> str:
        """Its key in the ledger; no id as JSON looks like it."""
        return f"{self.place} of {content_hash(os.fsencode(self.file))}"

    @property
    def source(self) -> str:
        """What names it in messages: ``FILE#PLACE``."""
        return f"{self.file}#{self.place}"


class Rows(Protocol):
    """Where rows come from."""

    @property
    def repeatable(self) -> bool:
        """Whether they can be gone through more than once."""
        ...

    def rows(self) -> Iterator[Row | BrokenRow]:
        """Yield all rows in order; on threads.

        Raises:
            TenireError: If what holds them cannot be read.
        """
        ...

    def sizes(self) -> Iterator[int]:
        """Go through all rows once more: their bytes, or 0 for each where bytes do not count."""
        ...

    def require_fields(self, fields: Sequence[str], key: str) -> None:
        """Check on the first rows that there are such fields, if that can be told ahead.

        Args:
            fields: Names of fields that are needed.
            key: The setting that needs them, for the message.

        Raises:
            ConfigError: Names the first one that is not there.
        """
        ...

    async def fetch(self) -> None:
        """Have the next rows ready, if that needs the loop; before each look at ``rows``."""
        ...


def missing_field(field: str, key: str, *, got: str) -> ConfigError:
    """Return the error that rows lack a field.

    Args:
        field: The field.
        key: The setting that needs it.
        got: What they have instead, and whose they are: ``the query returns: id, text``.
    """
    if key.rpartition(".")[2] in _TEMPLATES:
        hint = "name a field that is there; a brace that is meant as such is written twice: {{ or }}"
        return ConfigError(f"{key} uses {{{field}}}, but {got}", key=key, hint=hint)
    hint = "name a field that is there, or give the rows that one"
    return ConfigError(f"{key} needs the field {field}, but {got}", key=key, hint=hint)


def content_hash(content: bytes | str | Mapping[str, Any]) -> str:
    """Return a hash of 32 hexadecimal digits; the order of fields does not matter."""
    if not isinstance(content, bytes):
        text = content if isinstance(content, str) else json.dumps(content, sort_keys=True, ensure_ascii=True)
        content = text.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def row_or_broken(fields: Mapping[str, Any], *, file: str, place: str, size: int) -> Row | BrokenRow:
    """Return the row of these fields, or what is wrong with its id."""
    given = fields.get("id")
    if given is None or given == "":
        number: str | int = content_hash(fields)
        return Row(f'"{number}"', number, False, file, place, fields, size)
    if isinstance(given, str) or (isinstance(given, int) and not isinstance(given, bool)):
        return Row(json.dumps(given), given, True, file, place, fields, size)
    shown = json.dumps(given)
    shown = shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 1]}…"
    error = f"{place}: expected a text or a whole number as id, got {shown}"
    return BrokenRow(file, place, error, content_hash(fields), size)

"""Templates: a text with ``{field}`` in it, filled from a row.

A field's name may hold anything but braces. Braces that are meant as such are
written twice. There is no formatting and no code: what stands between braces is
looked up, and nothing else.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MissingFieldError", "Template"]

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


class MissingFieldError(LookupError):
    """A row lacks a field that the template uses.

    Attributes:
        field: The field.
    """

    def __init__(self, field: str, row: Mapping[str, Any]) -> None:
        super().__init__(f"the row has no field {field!r}; it has: {', '.join(row) or 'none'}")
        self.field = field


class Template:
    """A template, parsed once.

    Args:
        text: The template.

    Attributes:
        fields: Names of the fields that it uses, each once.

    Raises:
        ValueError: Says what is wrong, and where.

    >>> Template("Tell {name} about {{braces}}").render({"name": "Ada"})
    'Tell Ada about {braces}'
    """

    def __init__(self, text: str) -> None:
        self._pieces: list[tuple[str, str | None]] = []
        plain = ""
        last = 0
        for match in _PIECE.finditer(text):
            plain += text[last : match.start()]
            last = match.end()
            token, field = match[0], match[1]
            if token in ("{{", "}}"):
                plain += token[0]
            elif field is None or not field.strip():
                what = f"a single {token}" if field is None else "{} without a field's name"
                message = f"{what} at character {match.start() + 1}; a brace that is meant as such is written twice"
                raise ValueError(message)
            else:
                self._pieces.append((plain, field.strip()))
                plain = ""
        self._pieces.append((plain + text[last:], None))
        self.fields = tuple(dict.fromkeys(field for _, field in self._pieces if field is not None))

    def render(self, row: Mapping[str, Any]) -> str:
        """Return the text for a row.

        Texts stand as they are, nothing for null, everything else as JSON.

        Raises:
            MissingFieldError: If the row lacks a field.
        """
        parts = []
        for plain, field in self._pieces:
            parts.append(plain)
            if field is not None:
                if field not in row:
                    raise MissingFieldError(field, row)
                parts.append(_shown(row[field]))
        return "".join(parts)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)

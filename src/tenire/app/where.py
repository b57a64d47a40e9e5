"""Which documents a search looks at: a checked condition on what is known about them.

A condition is a small tree. It is made by ``where_parser`` from what a person types, and
only asks about facts that the ledger hands out: nothing of it ever becomes SQL.

Texts are compared without regard to case. What is not known is empty: it equals the
empty text, and is neither before nor after anything. A date is compared as far as the
condition says it, so ``2024-05-17`` equals ``2024`` and is not after it.
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.storage.abouts import KnownDocument

__all__ = ["COLUMNS", "EXTRA", "ORDERED", "And", "Condition", "Not", "Or", "Test"]

EXTRA = "extra."
"""Begins the name of a fact that only a document's source knows."""

COLUMNS: dict[str, Callable[[KnownDocument], str]] = {
    "source": lambda known: known.source,
    "kind": lambda known: known.about.kind,
    "language": lambda known: known.about.language,
    "author": lambda known: known.about.author,
    "date": lambda known: known.about.date,
    "title": lambda known: known.title,
    "pages": lambda known: str(known.about.pages) if known.about.pages else "",
}
ORDERED = ("date", "pages")
"""Columns of which one value comes before another; and what a source knows, where it is a number or a date."""

_ORDERS: dict[str, Callable[[int], bool]] = {
    "<": lambda order: order < 0,
    "<=": lambda order: order <= 0,
    ">": lambda order: order > 0,
    ">=": lambda order: order >= 0,
}


class Condition(Protocol):
    """Something that is true of a document, or not."""

    def holds(self, known: KnownDocument) -> bool:
        """Return whether it is true of one place of a document."""
        ...


@dataclass(frozen=True)
class And:
    """All of them are true."""

    parts: tuple[Condition, ...]

    def holds(self, known: KnownDocument) -> bool:
        """Return whether all are true of it."""
        return all(part.holds(known) for part in self.parts)


@dataclass(frozen=True)
class Or:
    """At least one of them is true."""

    parts: tuple[Condition, ...]

    def holds(self, known: KnownDocument) -> bool:
        """Return whether at least one is true of it."""
        return any(part.holds(known) for part in self.parts)


@dataclass(frozen=True)
class Not:
    """It is not true."""

    inner: Condition

    def holds(self, known: KnownDocument) -> bool:
        """Return whether it is not true of it."""
        return not self.inner.holds(known)


@dataclass(frozen=True)
class Test:
    """One column against one value.

    Attributes:
        column: One of ``COLUMNS``, or ``EXTRA`` and a name.
        operator: ``=``, ``~`` (a pattern), ``<``, ``<=``, ``>`` or ``>=``.
        value: What it is compared with.
    """

    column: str
    operator: str
    value: str

    def holds(self, known: KnownDocument) -> bool:
        """Return whether the column's value passes."""
        found = self._found(known)
        if self.operator == "~":
            return self.pattern.fullmatch(found) is not None
        if self.operator == "=":
            return self._equals(found)
        return found != "" and _ORDERS[self.operator](self._order(found))

    def _found(self, known: KnownDocument) -> str:
        if self.column.startswith(EXTRA):
            name = self.column[len(EXTRA) :].casefold()
            return next((value for key, value in known.about.extra if key.casefold() == name), "")
        return COLUMNS[self.column](known)

    def _equals(self, found: str) -> bool:
        if self.column == "source":
            # A path that is not absolute is the end of one.
            return found == self.value or found.endswith(f"/{self.value}")
        if self.column == "date" and self.value:
            return found.startswith(self.value)
        if self.column == "pages" and found:
            return int(found) == float(self.value or 0)
        return found.casefold() == self.value.casefold()

    def _order(self, found: str) -> int:
        value = self.value
        if self.column != "date":
            try:
                return _compare(float(found), float(value))
            except ValueError:
                return _compare(found.casefold(), value.casefold())
        return _compare(found[: len(value)], value)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What ``~`` compares with.

        Raises:
            re.error: If the value is no pattern, for example because of the range ``[z-a]``.
        """
        if self.column == "source":
            return re.compile(_path_expression(self.value), re.DOTALL)
        return re.compile(fnmatch.translate(self.value), re.IGNORECASE)


def _compare(left: float | str, right: float | str) -> int:
    return (left > right) - (left < right)  # type: ignore[operator]  # both of one type


def _path_expression(glob: str) -> str:
    """Return the expression for a path, or for anything below it.

    Wildcards are those of sources, but ``**`` enters hidden directories too: what was
    read is looked for, however it is called. A member of a container lies below it.
    """
    names = glob.strip("/").split("/")
    found = ["/" if glob.startswith("/") else "(?:.*/)?"]
    found += ["(?:.*/)?" if name == "**" else f"{_name_expression(name)}/" for name in names[:-1]]
    found.append(".*" if names[-1] == "**" else _name_expression(names[-1]))
    return "".join(found) + "(?:!?/.*)?"


def _name_expression(glob: str) -> str:
    first, *rest = (_fixed(part) for part in re.split(r"\*+", glob))
    if not rest:
        return first
    # The first place where a part fits is as good as any later one, so there is no need to come back to it.
    middle = "".join(f"(?>[^/]*?{part})" for part in rest[:-1])
    return f"{first}{middle}[^/]*{rest[-1]}"


def _fixed(glob: str) -> str:
    found = []
    for piece in re.findall(r"\[!?\]?[^\]]*\]|.", glob, re.DOTALL):
        if piece == "?":
            found.append("[^/]")
        elif len(piece) > 1:
            inside = re.sub(r"([\\\[\]^&~|])", r"\\\1", piece[1:-1])
            found.append(f"[^{inside[1:]}]" if inside.startswith("!") else f"[{inside}]")
        else:
            found.append(re.escape(piece))
    return "".join(found)

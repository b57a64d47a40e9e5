"""One member of a container, as the formats tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tenire.documents.row_lines import WHOLE, Part

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

__all__ = ["Member", "Names"]


class Member(NamedTuple):
    """One file in a container.

    Attributes:
        name: Its name in the container, as ``Names.clean`` gives it.
        size: Its bytes, as the container says; that need not be true.
        open: Opens it for reading. It must be read before the next member is asked for.
        part: Of a part of a table, what it has from the whole.
    """

    name: str
    size: int
    open: Callable[[], BinaryIO]
    part: Part = WHOLE


class Names:
    """Makes names of members harmless and different from one another.

    Nothing is ever written under such a name, but it is shown, and becomes part of a
    source: ``../../etc/passwd`` is called ``etc/passwd``.
    """

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}

    def clean(self, name: str) -> str:
        """Return the name of the next member."""
        parts = [part for part in name.replace("\0", "").split("/") if part not in ("", ".", "..")]
        cleaned = "/".join(parts) or "unnamed"
        count = self._taken.get(cleaned, 0) + 1
        self._taken[cleaned] = count
        # A later file of the same name replaces the first one when it is unpacked; here both can be found.
        return cleaned if count == 1 else f"{cleaned} ({count})"

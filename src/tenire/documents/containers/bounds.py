"""How far a file may expand: a pure count.

A file of 42 KB can hold petabytes. What comes out of it is counted as it comes,
through all levels of nesting, and the first byte too many ends it.
"""

from __future__ import annotations

from tenire.documents.reading import human_size
from tenire.errors import DocumentError

__all__ = ["Expansion"]

_FREE = 32 << 20
"""Bytes that any file may expand to, however small it is: logs of one line shrink a thousandfold."""

_RATIO = 200
"""Beyond that, how many bytes may come of one. Texts shrink five- to fiftyfold."""


class Expansion:
    """Counts what comes out of one file.

    Args:
        source: Its path, for the error.
        packed: Its size, bytes.
        most: The most that may come out of it, bytes.

    Attributes:
        source: Its path.
        total: Bytes that came so far.
    """

    def __init__(self, source: str, packed: int, most: int) -> None:
        self.source = source
        self._packed = packed
        self._most = min(most, max(_FREE, _RATIO * packed))
        self._limit = most
        self.total = 0

    @property
    def left(self) -> int:
        """Bytes that may still come."""
        return self._most - self.total

    def resume(self, total: int) -> None:
        """Go on where an earlier look into the same file ended; what was expanded again to get there counts once."""
        self.total = max(self.total, total)

    def add(self, size: int) -> None:
        """Count bytes.

        Raises:
            DocumentError: Of stage ``unpack``, if they are too many.
        """
        self.total += size
        if self.total <= self._most:
            return
        if self._most < self._limit:
            packed = human_size(self._packed)
            message = f"it expands to more than {_RATIO} times its {packed}: it may have been made to do harm"
            hint = "unpack it yourself if you trust it, and leave it out"
        else:
            message = f"it expands to more than max_expanded ({human_size(self._limit)})"
            hint = "unpack it yourself, or raise max_expanded"
        raise DocumentError(message, source=self.source, stage="unpack", hint=hint)

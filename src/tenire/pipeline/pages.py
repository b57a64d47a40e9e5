"""The pages of a crawl as a source: each lies in a file, and is called by its address."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tenire.pipeline.listing import Skipped
from tenire.protocols import Rejection, SourceFile

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from tenire.pipeline.listing import Listed

__all__ = ["PageSource"]


class PageSource:
    """Lists what a crawl has brought.

    Args:
        files: The file in which each page lies, by its address.
        refused: Why those are not there that cannot be used.
        skipped: Addresses of files that hold no text.
        asked: Addresses that were asked for: which of those are not there have left.
    """

    def __init__(
        self, files: Mapping[str, str], refused: Mapping[str, str], skipped: Collection[str], asked: Collection[str]
    ) -> None:
        self._files = files
        self._refused = refused
        self._skipped = skipped
        self._asked = frozenset(asked)

    def covers(self, path: str) -> bool:
        """Return whether an address was asked for."""
        return path in self._asked

    def walk(self) -> Iterator[Listed]:
        """Yield every page once, sorted by address."""
        for url in sorted({*self._files, *self._refused, *self._skipped}):
            if url in self._refused:
                yield Rejection(SourceFile(url, 0, 0), "read", self._refused[url])
            elif url in self._skipped:
                yield Skipped(url)
            else:
                yield self._listed(url)

    def _listed(self, url: str) -> Listed:
        kept = self._files[url]
        try:
            found = os.stat(kept)
        except OSError as error:
            reason = f"the page was removed from {kept} after it was fetched ({error.strerror})"
            return Rejection(SourceFile(url, 0, 0), "read", reason)
        return SourceFile(url, found.st_size, found.st_mtime_ns, kept=kept)

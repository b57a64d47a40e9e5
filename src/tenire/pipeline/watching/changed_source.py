"""Lists the files at and below paths that have changed, as the whole source would list them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tenire.errors import ConfigError
from tenire.pipeline.files import FileSource
from tenire.pipeline.listing import classify
from tenire.protocols import Rejection

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tenire.pipeline.listing import Listed

__all__ = ["ChangedSource"]


class ChangedSource:
    """The part of a source that has changed.

    Args:
        whole: The source.
        paths: Absolute paths that have changed: files, and directories with all that is
            below. What is no longer there has left, whatever it was.
    """

    def __init__(self, whole: FileSource, paths: Sequence[str]) -> None:
        self._whole = whole
        self._paths = frozenset(_outermost(paths))

    def covers(self, path: str) -> bool:
        """Return whether a path is one of those that have changed, or below one, and of the source."""
        return self._changed(path) and self._whole.covers(path)

    def walk(self) -> Iterator[Listed]:
        """Yield what stands at these paths and below, sorted by path."""
        for path in sorted(self._paths):
            if os.path.islink(path) or not os.path.isdir(path):
                if os.path.lexists(path) and self._whole.covers(path):
                    listed = classify(path)
                    if listed is not None:
                        yield listed
                continue
            try:
                yield from filter(self._is_of_source, FileSource([path]).walk())
            except ConfigError:
                continue  # it left just now

    def _is_of_source(self, listed: Listed) -> bool:
        return self._whole.covers(listed.file.path if isinstance(listed, Rejection) else listed.path)

    def _changed(self, path: str) -> bool:
        while path not in self._paths:
            parent = os.path.dirname(path)
            if parent == path:
                return False
            path = parent
        return True


def _outermost(paths: Sequence[str]) -> Iterator[str]:
    """Yield the paths that are below no other one."""
    last = ""
    # A separator at the end: "a/b" comes right before what is below it, and "a/b-c" does not come between.
    for path in sorted(path.rstrip(os.sep) + os.sep for path in paths):
        if not last or not path.startswith(last):
            last = path
            yield path.rstrip(os.sep) or os.sep

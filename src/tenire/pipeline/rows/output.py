"""The output of a row pipeline: a file of JSON lines that shows what the ledger holds.

1. The ledger is what counts; the file can be made from it at any time, for nothing.
2. A line is appended once its row is in the ledger, and only if no other line of its
   id stands there: at any moment, each id stands there at most once.
3. The file is replaced as a whole, so nobody ever sees half of one; only a kill in
   the middle of an append leaves a part of a line, which the next run takes away.
4. Whether the file still is as it was left is told by its size and its time.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import msgspec

from tenire.errors import ConfigError, PipelineError
from tenire.pipeline.rows.lines import item_of
from tenire.storage.advice import advice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

__all__ = [
    "Output", "RowOutput", "check_place", "foreign", "mark_of", "replacing", "unreadable", "unwritable",
]  # fmt: skip

_LOOKED_AT = 1 << 20


class Output(Protocol):
    """A file that shows the lines of the ledger in one form or another; methods block, one thread at a time."""

    @property
    def path(self) -> Path:
        """Where it is, absolute."""
        ...

    @property
    def ordered(self) -> bool:
        """Whether the order of lines can be seen in it."""
        ...

    def check(self, *, own: bool = False) -> None:
        """Refuse a place that cannot be written, or a file that no run wrote.

        Args:
            own: Whether the home says that it is the pipeline's own.

        Raises:
            ConfigError: Says which, and what to do.
        """
        ...

    def mark(self) -> str:
        """Return what tells whether the file was changed since; an empty text if there is none."""
        ...

    def append(self, lines: Iterable[bytes]) -> bool:
        """Add whole lines, each with its line break.

        Returns:
            Whether they are there now; otherwise the file has to be replaced to show them.

        Raises:
            PipelineError: If they cannot be written.
        """
        ...

    def replace(self, lines: Iterable[bytes]) -> None:
        """Write the file anew.

        Args:
            lines: What the ledger has, whole lines; may be gone through more than once.

        Raises:
            PipelineError: If it cannot be written; then it is what it was.
        """
        ...

    def read(self) -> tuple[Iterable[dict[str, Any]], Callable[[dict[str, Any]], dict[str, Any]]]:
        """Return what the file shows.

        Returns:
            Its records, which are read as they are asked for; and what makes of a line of
            the ledger the record that ought to stand there.

        Raises:
            PipelineError: If it is gone, or is not such a file; also while it is read.
        """
        ...

    def close(self) -> None:
        """Let go of the file; closing twice is fine."""
        ...


class RowOutput:
    """An output file; methods block, one thread at a time.

    Args:
        path: Absolute path of the file.
        pipeline: Whose it is, for errors.
        keys: The keys of each of its objects, in order; empty if they can be any, and do not tell whose it is.
    """

    ordered = True

    def __init__(self, path: Path, *, pipeline: str, keys: tuple[str, ...] = ()) -> None:
        self.path = path
        self._pipeline = pipeline
        self._keys = keys
        self._file: BinaryIO | None = None

    def check(self, *, own: bool = False) -> None:
        """See ``Output``; without ``own``, the first line that is not blank tells."""
        check_place(self.path)
        if own:
            return
        try:
            with self.path.open("rb") as file:
                beginning = file.read(_LOOKED_AT)
        except FileNotFoundError:
            return
        line, end, _ = beginning.lstrip().partition(b"\n")
        if not self._is_own(line + end) if line else len(beginning) == _LOOKED_AT:
            raise foreign(self.path)

    def mark(self) -> str:
        """Return what tells whether the file was changed since; an empty text if there is none."""
        return mark_of(self.path)

    def append(self, lines: Iterable[bytes]) -> bool:
        """Add whole lines, each with its line break; always ``True``.

        Raises:
            PipelineError: If they cannot be written.
        """
        data = b"".join(lines)
        if not data:
            return True
        try:
            if self._file is None:
                self._file = self.path.open("ab", buffering=0)
            view = memoryview(data)
            while view:  # a full pipe or disk takes a part
                view = view[self._file.write(view) or 0 :]
        except OSError as error:
            raise self._failed(error) from error
        return True

    def replace(self, lines: Iterable[bytes]) -> None:
        """Write the file anew.

        Raises:
            PipelineError: If it cannot be written; then it is what it was.
        """
        self.close()
        try:
            with replacing(self.path) as temporary, temporary.open("wb") as file:
                file.writelines(lines)
        except OSError as error:
            raise self._failed(error) from error

    def read(self) -> tuple[Iterable[dict[str, Any]], Callable[[dict[str, Any]], dict[str, Any]]]:
        """See ``Output``."""
        return self._records(), dict

    def _records(self) -> Iterator[dict[str, Any]]:
        try:
            with self.path.open("rb") as file:
                for line in file:
                    yield item_of(line)
        except (OSError, ValueError) as error:
            raise unreadable(self.path, self._pipeline, error) from error

    def close(self) -> None:
        """Let go of the file; closing twice is fine."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _failed(self, error: OSError) -> PipelineError:
        return unwritable(self.path, self._pipeline, error)

    def _is_own(self, line: bytes) -> bool:
        """Return whether a line is one that a run wrote, or the beginning of it."""
        try:
            record = msgspec.json.decode(line)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return line.startswith(b'{"id":') and not line.endswith(b"\n")
        return isinstance(record, dict) and tuple(record) == self._keys


def check_place(path: Path) -> None:
    """Refuse a place where no file can be written.

    Raises:
        ConfigError: Says why, and what to do.
    """
    place = path.resolve()
    if not place.parent.is_dir():
        message = f"the directory of the output {path} does not exist"
        raise ConfigError(message, key="output", hint="make it, or name another file")
    if place.exists() and not place.is_file():  # to a device or pipe, no run could go on
        message = f"the output {path} cannot be written: it is no regular file"
        raise ConfigError(message, key="output", hint="name a file, new or of an earlier run")
    if not os.access(place if place.exists() else place.parent, os.W_OK):
        message = f"the output {path} cannot be written"
        raise ConfigError(message, key="output", hint="name a file in a directory that may be written")


def foreign(path: Path) -> ConfigError:
    """Return the refusal of a file that no run wrote."""
    message = f"the output {path} holds something that no run wrote"
    return ConfigError(message, key="output", hint="move it aside, or name another file")


def unwritable(path: Path, pipeline: str, error: Exception) -> PipelineError:
    """Return the error of a file that cannot be written."""
    message = f"the output {path} cannot be written: {getattr(error, 'strerror', None) or error}"
    hint = advice(error, "everything finished is kept in the home; run again once it can be written")
    return PipelineError(message, pipeline=pipeline, stage="output", hint=hint)


def unreadable(path: Path, pipeline: str, error: Exception) -> PipelineError:
    """Return the error of a file that is not what a run has written."""
    message = f"the output {path} cannot be read: {getattr(error, 'strerror', None) or error}"
    hint = "the next run writes it anew, and so does: tenire verify --repair"
    return PipelineError(message, pipeline=pipeline, stage="output", hint=hint)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Have a file written that takes the place of another one at the end of the block, in one step.

    A link stays, and what it leads to is replaced.

    Yields:
        Where to write it.

    Raises:
        OSError: If that fails; then the file is what it was.
    """
    path = path.resolve()
    temporary = path.with_name(f".{path.name}.new")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def mark_of(path: Path) -> str:
    """Return what tells whether a file was changed since; an empty text if there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns}"

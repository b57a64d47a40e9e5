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
from typing import TYPE_CHECKING, BinaryIO, Protocol

import msgspec

from tenire.errors import ConfigError, PipelineError
from tenire.storage.advice import advice

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["Output", "RowOutput", "check_place", "foreign"]

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

        Raises:
            PipelineError: If it cannot be written; then it is what it was.
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
        """See ``Output``; without ``own``, the first line tells."""
        check_place(self.path)
        if own:
            return
        try:
            with self.path.open("rb") as file:
                first = file.readline(_LOOKED_AT)
        except FileNotFoundError:
            return
        if first.strip() and not self._is_own(first):
            raise foreign(self.path)

    def mark(self) -> str:
        """Return what tells whether the file was changed since; an empty text if there is none."""
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            return ""
        return f"{found.st_size} {found.st_mtime_ns}"

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
        temporary = self.path.with_name(f".{self.path.name}.new")
        try:
            with temporary.open("wb") as file:
                file.writelines(lines)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
        except OSError as error:
            raise self._failed(error) from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()

    def close(self) -> None:
        """Let go of the file; closing twice is fine."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _failed(self, error: OSError) -> PipelineError:
        message = f"the output {self.path} cannot be written: {error.strerror or error}"
        hint = advice(error, "everything finished is kept in the home; run again once it can be written")
        return PipelineError(message, pipeline=self._pipeline, stage="output", hint=hint)

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
    directory = path.parent
    if not directory.is_dir():
        message = f"the directory of the output {path} does not exist"
        raise ConfigError(message, key="output", hint="make it, or name another file")
    if path.is_dir() or not os.access(path if path.exists() else directory, os.W_OK):
        message = f"the output {path} cannot be written"
        raise ConfigError(message, key="output", hint="name a file in a directory that may be written")


def foreign(path: Path) -> ConfigError:
    """Return the refusal of a file that no run wrote."""
    message = f"the output {path} holds something that no run wrote"
    return ConfigError(message, key="output", hint="move it aside, or name another file")

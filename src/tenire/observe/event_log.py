"""What happened in an engine, as JSON lines in files that rotate and are bounded.

::

    note ──► pending ──flush──► events.jsonl ──full──► events.1.jsonl ──► … ──► gone
    any      bounded            appended to
    thread

1. A line is one JSON object: ``at`` (UTC), ``event``, then its facts. What no JSON in UTF-8
   can hold costs no line: a lone surrogate, of a name that is no text, is escaped, and a
   number that is none, or infinite, is null.
2. ``files`` files of ``file_bytes`` are kept at the most.
3. ``note`` never waits for the disk. More than ``MOST_PENDING`` lines that wait for it
   are dropped and counted; the count is written as soon as there is room.
4. A disk that cannot be written costs lines, never the engine: it is logged once, and
   tried again with the next flush.
5. Facts are numbers and short names. Texts go through ``redaction``; texts of users
   (prompts, documents, messages of exceptions) must not be handed in.
6. A line that a killed engine left half is ended before the next one is written.
"""

from __future__ import annotations

import json
import logging
import math
import os
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tenire.observe.redaction import Redaction

if TYPE_CHECKING:
    from pathlib import Path

    from tenire.clock import Clock

    Fact = str | float | bool | None

__all__ = ["FILES", "FILE_BYTES", "MOST_PENDING", "EventLog"]

FILE_BYTES = 1 << 20
FILES = 4
MOST_PENDING = 2_000

_NAME = "events"

_log = logging.getLogger("tenire.events")


class EventLog:
    """The event log of one engine.

    Args:
        folder: Where its files go; made with the first line.
        clock: For the time of each line.
        file_bytes: Bytes of one file at the most (a single longer line goes alone).
        files: Files at the most, the current one included.
        redaction: Takes keys out of texts; default: one that knows this process's.

    Attributes:
        written: Events written so far.
        dropped: Events dropped so far.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock,
        file_bytes: int = FILE_BYTES,
        files: int = FILES,
        redaction: Redaction | None = None,
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._file_bytes = file_bytes
        self._files = files
        self._redaction = redaction or Redaction()
        self._pending: list[str] = []
        self._noting = threading.Lock()
        self._flushing = threading.Lock()
        self._untold = 0
        self._failed = False
        self.written = 0
        self.dropped = 0

    @property
    def path(self) -> Path:
        """The file that is written now."""
        return self._folder / f"{_NAME}.jsonl"

    @property
    def pending(self) -> int:
        """Lines that wait to be written."""
        return len(self._pending)

    def note(self, event: str, **facts: Fact) -> bool:
        """Take in one event; from any thread, without waiting.

        Args:
            event: What happened, in a word or two that programs may compare.
            **facts: Numbers and short names.

        Returns:
            Whether a flush is needed that nobody was told of yet.
        """
        line = self._line(event, facts)
        with self._noting:
            if len(self._pending) >= MOST_PENDING:
                self.dropped += 1
                self._untold += 1
                return False
            self._pending.append(line)
            return len(self._pending) == 1

    def flush(self) -> None:
        """Write what was noted; blocks. Errors of the disk are logged, once."""
        with self._flushing:
            with self._noting:
                lines, self._pending = self._pending, []
                untold, self._untold = self._untold, 0
            events = len(lines)
            if untold:
                lines.append(self._line("lines dropped", {"count": untold}))
            if not lines:
                return
            try:
                self._write(lines)
            except BaseException as error:
                with self._noting:
                    self.dropped += events
                    self._untold += events + untold
                if not isinstance(error, OSError):
                    raise
                _log.log(
                    logging.DEBUG if self._failed else logging.WARNING,
                    "events cannot be written to %s: %s", self.path, error.strerror or error,
                )  # fmt: skip
                self._failed = True
            else:
                self.written += events
                self._failed = False

    def _line(self, event: str, facts: dict[str, Fact]) -> str:
        at = datetime.fromtimestamp(self._clock.wall(), UTC).isoformat(timespec="milliseconds")
        clean = self._redaction.clean
        told = {name: clean(fact) if isinstance(fact, str) else _finite(fact) for name, fact in facts.items()}
        return json.dumps({"at": at, "event": event, **told}, ensure_ascii=False, allow_nan=False) + "\n"

    def _write(self, lines: list[str]) -> None:
        # Like the home: what runs on a computer is its owner's affair.
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        rest = [line.encode(errors="backslashreplace") for line in lines]  # "\\udcff", as JSON escapes it too
        while rest:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                rest = self._fill(fd, rest)
            finally:
                os.close(fd)
            if rest:
                self._rotate()

    def _fill(self, fd: int, lines: list[bytes]) -> list[bytes]:
        """Append as many lines as the file may take, one at least if it is empty; return the others."""
        size = os.lseek(fd, 0, os.SEEK_END)
        if size and _last_byte(fd, size) != b"\n":
            lines = [b"\n" + lines[0], *lines[1:]]
        room = self._file_bytes - size
        fitting = 0
        while fitting < len(lines) and (len(lines[fitting]) <= room or not (size or fitting)):
            room -= len(lines[fitting])
            fitting += 1
        whole = b"".join(lines[:fitting])
        while whole:
            whole = whole[os.write(fd, whole) :]
        return [line.lstrip(b"\n") for line in lines[fitting:]]

    def _rotate(self) -> None:
        older = [self.path, *(self._folder / f"{_NAME}.{number}.jsonl" for number in range(1, self._files))]
        for number in range(len(older) - 1, 0, -1):
            if older[number - 1].exists():
                older[number - 1].replace(older[number])
        if self._files == 1:
            self.path.unlink(missing_ok=True)


def _finite(fact: Fact) -> Fact:
    return None if isinstance(fact, float) and not math.isfinite(fact) else fact


def _last_byte(fd: int, size: int) -> bytes:
    os.lseek(fd, size - 1, os.SEEK_SET)
    return os.read(fd, 1)

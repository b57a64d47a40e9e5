"""Which lines repeat over the documents of a pipeline: found from some of them, kept in the home.

1. They are found before the first document is read, and all documents of a run are read by
   the same ones: what became of a document never depends on those that came before it.
2. They are part of the recipe, so they are found anew only when the source has twice the
   files that it had, or another share is asked for. If they are others then, every document
   is done again; passages that stay as they were keep their vectors.
3. Which files are looked at is told by their paths alone, so a run that was killed and
   begins again finds the same.
4. Equal documents count once, and a line has to stand in at least five.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec

from tenire.documents.boilerplate import Repeated, line_key
from tenire.documents.line_survey import survey
from tenire.errors import TaskTimeoutError, WorkerDiedError
from tenire.pipeline.embedder_worker import IF_KILLED
from tenire.pipeline.waits import first
from tenire.protocols import SourceFile

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tenire.concurrency.manager import ConcurrencyManager
    from tenire.documents.options import PrepareOptions
    from tenire.pipeline.listing import Source
    from tenire.storage.ledger import Ledger

__all__ = ["Found", "find_lines", "kept_lines", "lines_of"]

_SAMPLE = 400
_LARGEST = 1 << 20
_BATCH = 16
_FEWEST = 5
_MOST_LINES = 1000
_KEY = "repeated:"


class Found(msgspec.Struct, frozen=True):
    """What was found.

    Attributes:
        share: In which share of the documents a line has to stand.
        files: Files of the source at that time.
        documents: Documents that were looked at.
        lines: The lines that repeat, with the number of those documents that hold them.
    """

    share: float
    files: int
    documents: int
    lines: dict[str, int]

    @property
    def repeated(self) -> Repeated:
        """The same as documents are told it."""
        keys = (line_key(line) for line in self.lines)
        return Repeated(self.share, frozenset(key for key in keys if key is not None))


def kept_lines(ledger: Ledger, pipeline: str) -> Found | None:
    """Return what was found for a pipeline, or ``None`` if nothing was looked for yet."""
    written = ledger.setting(_KEY + pipeline)
    return None if written is None else msgspec.json.decode(written, type=Found)


def lines_of(ledger: Ledger) -> dict[str, Found]:
    """Return what was found, by pipeline."""
    return {name: msgspec.json.decode(written, type=Found) for name, written in ledger.settings(_KEY).items()}


async def find_lines(
    pipeline: str, share: float, source: Source, options: PrepareOptions, *,
    manager: ConcurrencyManager, ledger: Ledger, limit_s: float,
) -> Found:  # fmt: skip
    """Return the lines that repeat over a source, from the home if they still hold (rule 2).

    Args:
        pipeline: Whose documents they are; the tasks are charged to it.
        share: In which share of the documents a line has to stand.
        source: Its files.
        options: How they are read.
        manager: The engine.
        ledger: Where they are kept.
        limit_s: Seconds that one file may take.

    Raises:
        TenireError: If the source cannot be listed, or a parser that is needed is not installed.
    """

    def submit(fn: Any, *args: Any, on: str, **how: Any) -> Any:
        name = f"{pipeline}: find repeated lines"
        return manager.submit(fn, *args, pipeline=pipeline, name=name, on=on, **how)

    files, chosen = await submit(_sample, source, on="thread")
    kept: Found | None = await submit(kept_lines, ledger, pipeline, on="thread")
    if kept is not None and kept.share == share and files < 2 * max(1, kept.files):
        return kept
    documents: dict[str, list[str]] = {}

    async def look(batch: list[SourceFile]) -> None:
        try:
            found = await submit(survey, options, batch, on="anywhere", timeout=limit_s, retry=IF_KILLED)
        except (WorkerDiedError, TaskTimeoutError):
            # A parser crashed or hung. The run meets the same file, and tells of it.
            if len(batch) > 1:
                for file in batch:
                    await look([file])
            return
        documents.update(found)

    try:
        async with asyncio.TaskGroup() as tasks:
            for start in range(0, len(chosen), _BATCH):
                tasks.create_task(look(chosen[start : start + _BATCH]))
    except BaseExceptionGroup as group:
        raise first(group) from None
    found = Found(share, files, len(documents), _counted(documents.values(), share))
    await submit(ledger.remember, _KEY + pipeline, msgspec.json.encode(found).decode(), on="thread")
    return found


def _sample(source: Source) -> tuple[int, list[SourceFile]]:
    """Count the files of a source, and choose some by the hashes of their paths."""
    count = 0

    def small() -> Iterable[tuple[bytes, SourceFile]]:
        nonlocal count
        for item in source.walk():
            if isinstance(item, SourceFile):
                count += 1
                if item.size <= _LARGEST:
                    yield blake2b(item.path.encode("utf-8", "surrogateescape"), digest_size=8).digest(), item

    chosen = heapq.nsmallest(_SAMPLE, small(), key=lambda pair: pair[0])
    return count, [file for _, file in chosen]


def _counted(documents: Iterable[list[str]], share: float) -> dict[str, int]:
    counts: Counter[int] = Counter()
    written: dict[int, str] = {}
    total = 0
    for total, lines in enumerate(documents, 1):  # noqa: B007 - it counts them
        for line in lines:
            key = line_key(line)
            if key is not None:
                counts[key] += 1
                # Whichever document comes first: the same line is written the same way in the home.
                written[key] = min(written.get(key, line), line)
    least = max(_FEWEST, share * total)
    often = sorted((-count, written[key]) for key, count in counts.items() if count >= least)
    return {line: -count for count, line in often[:_MOST_LINES]}

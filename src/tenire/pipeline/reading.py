"""How files are read in worker processes, whatever becomes of those.

1. A parser that crashes takes its worker with it, one that hangs is ended with its worker
   after a while. Either way the batch is cut in halves until the file that does it is
   alone, and that one goes to quarantine.
2. If that file is a container, its members are read a few at a time, and in the end one
   at a time, until the member that does it is alone.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from tenire.errors import TaskTimeoutError, WorkerDiedError
from tenire.pipeline.embedder_worker import IF_KILLED
from tenire.pipeline.places import Places
from tenire.protocols import Document, Look, Rejection, Unpacked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tenire.clock import Clock
    from tenire.pipeline.document_recipe import DocumentRecipe
    from tenire.pipeline.lister import Work
    from tenire.pipeline.progress import StageProgress
    from tenire.pipeline.run_tasks import RunTasks
    from tenire.pipeline.tuning import Tuning
    from tenire.protocols import SourceFile, Unchanged

__all__ = ["MOST_MEMBERS", "FileReading"]

MOST_MEMBERS = 2048
"""Members of a container that are read by one task."""

_FAILURES = (WorkerDiedError, TaskTimeoutError)


class FileReading:
    """One run's way to the readers.

    Args:
        tasks: The run's way to the engine.
        recipe: Holds the readers.
        stage: Where to count the time that they take.
        tuning: Says how many batches are read at the same time, and is told what they cost.
        clock: For that time.
    """

    def __init__(
        self, tasks: RunTasks, recipe: DocumentRecipe, *, stage: StageProgress, tuning: Tuning, clock: Clock
    ) -> None:
        self._tasks = tasks
        self._recipe = recipe
        self._stage = stage
        self._tuning = tuning
        self._clock = clock
        self._readers = Places(tuning.sizes.readers)

    def resize(self) -> None:
        """Read as many batches at the same time as the sizes say by now."""
        self._readers.resize(self._tuning.sizes.readers)

    async def read(self, batch: Sequence[Work]) -> list[Document | Rejection | Unchanged | Unpacked]:
        """Return what came of files, in their order."""
        files = [item.file for item in batch]
        known = {item.file.path: item.known_hash for item in batch if item.known_hash}
        return await self._read(files, known)

    async def read_on(self, container: Document, start: int, expanded: int) -> Unpacked:
        """Return what came of the next slice of a container.

        Args:
            container: The container.
            start: Number of the slice's first member.
            expanded: Bytes that came out of the container before.
        """
        assert self._recipe.unpack is not None  # what unpacks is what can read on
        file, most = container.file, MOST_MEMBERS
        while True:
            try:
                part: Unpacked = await self._submit(
                    self._recipe.unpack, file, container.content_hash, start, most, expanded, step="unpack"
                )
            except _FAILURES as error:
                if most == 1:
                    member = await self._look(file, start)
                    if member.file.container:
                        return Unpacked(container, (_refusal(member, error),), start + 1, expanded)
                    return Unpacked(_refusal(member, error), ())
                most = max(1, most // 8)
            else:
                return part

    async def _read(
        self, files: list[SourceFile], known: Mapping[str, str]
    ) -> list[Document | Rejection | Unchanged | Unpacked]:
        try:
            results: list[Document | Rejection | Unchanged | Unpacked] = await self._submit(
                self._recipe.prepare, files, known, step="prepare", note=partial(self._note_read, files)
            )
        except _FAILURES as error:
            if len(files) == 1:
                found = await self._look(files[0], None)
                return [found.unpacked if found.unpacked is not None else _refusal(found, error)]
            middle = len(files) // 2  # rule 1
            return [*await self._read(files[:middle], known), *await self._read(files[middle:], known)]
        return results

    async def _look(self, file: SourceFile, number: int | None) -> Look:
        if self._recipe.look is None:
            return Look(file, "file")
        try:
            found: Look = await self._submit(self._recipe.look, file, number, step="look")
        except _FAILURES:
            return Look(file, "file")
        return found

    async def _submit(
        self, fn: Any, *args: Any, step: str, note: Callable[[Any, float], object] = lambda result, seconds: None
    ) -> Any:
        async with self._readers:
            handle = self._tasks.submit(
                fn, *args, step=step, on="anywhere", retry=IF_KILLED, timeout=self._recipe.limit_s
            )
            result = await handle
        seconds = self._clock.now() - handle.started_at
        self._stage.busy_s += seconds
        note(result, seconds)
        return result

    def _note_read(self, files: Sequence[SourceFile], results: Sequence[object], seconds: float) -> None:
        documents = [result for result in results if isinstance(result, Document)]
        passages = sum(len(document.passages) for document in documents)
        characters = sum(len(passage.text) for document in documents for passage in document.passages)
        self._tuning.note_read(sum(file.size for file in files), passages, characters, seconds)


def _refusal(found: Look, error: BaseException) -> Rejection:
    reader = "reader" if found.reader == "file" else f"{found.reader} reader"
    if isinstance(error, TaskTimeoutError):
        reason = f"the {reader} did not come to an end with this file ({error}); it may be damaged"
    else:
        reason = f"the {reader} crashed on this file ({error}); it may be damaged, or too large for this machine"
    return Rejection(found.file, "prepare", reason)

"""The way to the model: a worker process that all pipelines take turns at, or a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenire.concurrency.submit import is_coroutine_function
from tenire.pipeline.embedder_worker import EMBEDDER, IF_KILLED
from tenire.pipeline.vector_memos import WORTH_KEEPING_S
from tenire.pipeline.vectorise import UnusableTextError, vectorise

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from tenire.clock import Clock
    from tenire.concurrency.handle import Handle
    from tenire.core.tasks import Retry
    from tenire.pipeline.progress import PipelineProgress, StageProgress
    from tenire.pipeline.run_tasks import RunTasks
    from tenire.pipeline.tuning import Tuning
    from tenire.protocols import Document

__all__ = ["ModelWorker"]

_LOADING = "loading the model, which takes longer the first time on a machine"


class ModelWorker:
    """One pipeline's way to the model.

    Args:
        tasks: The run's way to the engine.
        embed: ``embed(texts)``; importable, since it runs in the worker. A coroutine
            function asks a server: it runs on the loop, and keeps what it got itself.
        progress: Where to count bytes of files that are embedded but not stored yet.
        stage: Where to count passages.
        keep: ``keep(texts, vectors)``, called for slices that took long.
        clock: For the time spent.
        tuning: Says how many texts go into a call, and is told what it cost.
    """

    def __init__(
        self,
        tasks: RunTasks,
        *,
        embed: Callable[[list[str]], NDArray[np.float32]] | Callable[[list[str]], Awaitable[NDArray[np.float32]]],
        progress: PipelineProgress,
        stage: StageProgress,
        keep: Callable[[list[str], NDArray[np.float32]], Awaitable[None]],
        clock: Clock,
        tuning: Tuning,
    ) -> None:
        self._tuning = tuning
        self._last_end = 0.0
        self._tasks = tasks
        self._embed: Callable[[list[str]], Any] = embed
        self._on_loop = is_coroutine_function(embed)
        self._progress = progress
        self._stage = stage
        self._keep = keep
        self._clock = clock

    def warm_up(self) -> Handle[NDArray[np.float32]]:
        """Have the model loaded: a head start, so it is tried once."""
        handle = self._submit([], "load model", retry=None)
        if not self._on_loop:
            self._stage.doing = _LOADING
        handle.add_done_callback(lambda _: self._loaded())
        return handle

    async def vectors(
        self, documents: Sequence[Document], known: Mapping[str, NDArray[np.float32]]
    ) -> NDArray[np.float32] | None:
        """Return one row per passage; see ``vectorise``.

        The documents' bytes are added to ``bytes_ahead``, a part with every slice;
        whoever stores them takes them off again.
        """
        stage, progress = self._stage, self._progress
        left = passages = sum(len(document.passages) for document in documents)
        left_bytes = size = sum(document.file.size for document in documents)
        if not stage.done and not stage.waiting:
            stage.since_s = progress.seconds
        stage.waiting += passages

        async def embed(texts: list[str]) -> NDArray[np.float32]:
            nonlocal left, left_bytes
            handle = self._submit(texts, "embed", retry=IF_KILLED)
            vectors = await handle
            took = self._ended(handle.started_at)
            stage.busy_s += took
            self._tuning.note_embedded(sum(map(len, texts)), took)
            if took > WORTH_KEEPING_S and not self._on_loop:
                await self._keep(texts, vectors)
            stage.done += len(texts)
            stage.waiting -= len(texts)
            left -= len(texts)
            part = size * len(texts) // passages
            left_bytes -= part
            progress.bytes_ahead += part
            return vectors

        try:
            vectors = await vectorise(documents, known=known, embed=embed, most=self._tuning.sizes.slice)
        except UnusableTextError:
            # They come again without the documents that cannot be embedded, and count then.
            stage.done -= passages - left
            progress.bytes_ahead -= size - left_bytes
            raise
        finally:
            stage.waiting -= left
        # What was known before, and what stands in the group twice, needed no model.
        stage.done += left
        progress.bytes_ahead += left_bytes
        return vectors

    def make_room(self) -> None:
        """End the model's worker, and all others that have nothing to do: their memory is needed."""
        self._tasks.end_idle_workers(EMBEDDER)

    def _loaded(self) -> None:
        self._stage.doing = ""
        self._ended()

    def _ended(self, started: float = 0.0) -> float:
        """Return the seconds that the model had for a call that ended just now.

        The worker takes one call after the other, and what was started while it had another
        one waited there: its time begins with the end of that. A server takes them side by side.
        """
        now = self._clock.now()
        before, self._last_end = self._last_end, now
        return now - (started if self._on_loop else max(started, before))

    def _submit(self, texts: list[str], step: str, *, retry: Retry | None) -> Handle[NDArray[np.float32]]:
        if self._on_loop:
            return self._tasks.submit(self._embed, texts, step=step, on="loop")
        return self._tasks.submit(self._embed, texts, step=step, on="anywhere", worker=EMBEDDER, retry=retry)

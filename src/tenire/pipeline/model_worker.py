"""The model's worker process: one for all pipelines, which take turns at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.core.tasks import Resources, Retry
from tenire.pipeline.vectorise import vectorise

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from tenire.clock import Clock
    from tenire.concurrency.handle import Handle
    from tenire.concurrency.manager import ConcurrencyManager
    from tenire.pipeline.progress import StageProgress
    from tenire.protocols import Document

__all__ = ["EMBEDDER_SLOTS", "IF_KILLED", "ModelWorker"]

EMBEDDER_SLOTS = 2
"""Slices at the model's worker: one that it computes, one that waits for it there."""

IF_KILLED = Retry(attempts=2, backoff=0.5, on=())
"""A worker that was killed from outside says nothing about its task: once more."""

_ONE_SLOT = Resources(other={"embedder": 1})


class ModelWorker:
    """One pipeline's way to the model.

    Args:
        pipeline: Whose share the work is charged to.
        manager: The engine.
        embed: ``embed(texts)``; importable, since it runs in the worker.
        stage: Where to count passages.
        clock: For the time spent.
    """

    def __init__(
        self,
        pipeline: str,
        *,
        manager: ConcurrencyManager,
        embed: Callable[[list[str]], NDArray[np.float32]],
        stage: StageProgress,
        clock: Clock,
    ) -> None:
        self._pipeline = pipeline
        self._manager = manager
        self._embed = embed
        self._stage = stage
        self._clock = clock

    def warm_up(self) -> Handle[NDArray[np.float32]]:
        """Have the model loaded."""
        return self._submit([], "load model")

    async def vectors(
        self, documents: Sequence[Document], known: Mapping[str, NDArray[np.float32]]
    ) -> NDArray[np.float32] | None:
        """Return one row per passage; see ``vectorise``."""
        passages = sum(len(document.passages) for document in documents)
        self._stage.waiting += passages
        try:
            return await vectorise(documents, known=known, embed=self._slice)
        finally:
            self._stage.waiting -= passages
            self._stage.done += passages

    async def _slice(self, texts: list[str]) -> NDArray[np.float32]:
        started = self._clock.now()
        try:
            return await self._submit(texts, "embed")
        finally:
            self._stage.busy_s += self._clock.now() - started

    def _submit(self, texts: list[str], step: str) -> Handle[NDArray[np.float32]]:
        return self._manager.submit(
            self._embed,
            texts,
            on="process",
            worker="embedder",
            pipeline=self._pipeline,
            name=f"{self._pipeline}: {step}",
            needs=_ONE_SLOT,
            retry=IF_KILLED,
        )

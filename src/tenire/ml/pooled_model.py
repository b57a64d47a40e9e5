"""What a pool of models knows of one of them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tenire.errors import PredictionError, WorkerDiedError
from tenire.resilience.failures import may_be_an_item

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.concurrency.handle import Handle
    from tenire.concurrency.permits import Permit
    from tenire.core.model_room import ModelRoom
    from tenire.core.replicas import Replicas
    from tenire.core.tasks import Priority
    from tenire.resilience.batcher import Batcher

__all__ = ["ModelStatistics", "PooledModel", "blames_an_item"]


@dataclass(frozen=True, slots=True)
class ModelStatistics:
    """What one model has done so far.

    Attributes:
        loaded: Whether it is loaded now.
        loads: How often it was loaded.
        memory: Bytes that it takes, as measured, or as thought before it was loaded.
        items: Items that it was asked about.
        batches: Batches that these came in.
        splits: Batches that failed and were cut in two.
        replicas: Copies that are loaded now.
        gpu_memory: Bytes of the GPU that are set aside for these; 0 if they compute on the processor.
    """

    loaded: bool
    loads: int
    memory: int
    items: int
    batches: int
    splits: int
    replicas: int
    gpu_memory: int


@dataclass(slots=True)
class PooledModel:
    """One model of a pool, or one more copy of it."""

    name: str
    factory: Callable[[], Any]
    memory: int
    threads: int
    pinned: bool
    options: dict[str, Any]
    replicas: Replicas
    copies: list[PooledModel] = field(default_factory=list)
    load_s: float = 0.0
    batchers: dict[Priority, Batcher[Any, Any]] = field(default_factory=dict)
    loading: asyncio.Lock = field(default_factory=asyncio.Lock)
    worker: str = ""
    held: AsyncExitStack = field(default_factory=AsyncExitStack)
    asked: Permit | None = None
    loads: int = 0
    used_at: float = 0.0
    gpu_memory: int = 0

    def copy(self, name: str) -> PooledModel:
        """Return one more of it, which nothing was done with."""
        return PooledModel(name, self.factory, self.memory, self.threads, False, self.options, self.replicas)

    def told(self) -> Handle[None] | None:
        """Return the permit that is waited for before it is loaded, or ``None``."""
        return None if self.asked is None else self.asked.asked

    def gpu_wanted(self) -> int:
        """Return the bytes of a GPU that it would take, 0 if it would not run there; blocks."""
        wanted: Callable[[], int] | None = getattr(self.factory, "gpu_wanted", None)
        return 0 if wanted is None else wanted()

    def placed(self) -> Callable[[], Any]:
        """Return what loads it where it was decided that it runs."""
        if not self.gpu_memory:
            return self.factory
        on_gpu: Callable[[int], Callable[[], Any]] = self.factory.on_gpu  # type: ignore[attr-defined]
        return on_gpu(self.gpu_memory)

    def statistics(self, room: ModelRoom) -> ModelStatistics:
        """Return what it and its copies have done."""
        counts = [each.statistics() for copy in self.copies for each in copy.batchers.values()]
        loaded = sum(copy.name in room for copy in self.copies)
        return ModelStatistics(
            loaded=loaded > 0, loads=sum(copy.loads for copy in self.copies), memory=self.memory,
            items=sum(each.items for each in counts), batches=sum(each.batches for each in counts),
            splits=sum(each.splits for each in counts), replicas=loaded,
            gpu_memory=sum(copy.gpu_memory for copy in self.copies),
        )  # fmt: skip


def blames_an_item(error: BaseException) -> bool:
    """Return whether an error of a batch may be one item's fault."""
    return isinstance(error, WorkerDiedError | MemoryError | PredictionError) or may_be_an_item(error)

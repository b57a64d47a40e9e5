"""Tasks of one run: all of them are charged to its pipeline, and named after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenire.concurrency.compaction_steps import KEPT_THREADS
from tenire.pipeline.embedder_worker import EMBEDDER, embedding_needs
from tenire.pipeline.waits import seen

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.concurrency.handle import Handle
    from tenire.concurrency.manager import ConcurrencyManager

__all__ = ["RunTasks"]


class RunTasks:
    """One pipeline's way to the engine.

    Args:
        pipeline: Whose share the tasks are charged to.
        manager: The engine.
    """

    def __init__(self, pipeline: str, manager: ConcurrencyManager) -> None:
        self._pipeline = pipeline
        self._manager = manager

    def submit(self, fn: Callable[..., Any], *args: Any, step: str, **options: Any) -> Handle[Any]:
        """Submit a task; ``step`` says to people what it does, ``options`` are those of the engine.

        What a task needs that goes to the embedder's worker is known here.
        """
        if options.get("worker") == EMBEDDER:
            options["needs"] = embedding_needs()
        name = f"{self._pipeline}: {step}"
        return self._manager.submit(fn, *args, pipeline=self._pipeline, name=name, **options)

    def thread(self, fn: Callable[..., Any], *args: Any) -> Handle[Any]:
        """Call a function that blocks."""
        return self.submit(fn, *args, step=getattr(fn, "__name__", "step"), on="thread")

    def end_idle_workers(self, name: str | None = None) -> None:
        """End worker processes that have nothing to do, the one with this name too; they start again when needed."""
        pools = self._manager.thread_pool
        if name is not None:
            pools.end_worker(name, if_idle=True)
        pools.retire_idle(workers=0, threads=KEPT_THREADS)

    def head_start(self, fn: Callable[..., Any], *args: Any) -> None:
        """Call a function that blocks, for what it leaves behind; nobody waits for it."""
        self.thread(fn, *args).add_done_callback(seen)

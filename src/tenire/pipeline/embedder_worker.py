"""The worker process that holds the embedder, which all pipelines take turns at.

Whoever sends a task there takes what ``embedding_needs`` says, so that all of them do the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.core.tasks import Resources, Retry

if TYPE_CHECKING:
    from tenire.concurrency.manager import ConcurrencyManager

__all__ = ["EMBEDDER", "IF_KILLED", "embedding_needs", "share_embedder", "share_embedder_again"]

EMBEDDER = "embedder"
"""The worker's name, and that of the resource by which tasks take turns at it."""

IF_KILLED = Retry(attempts=2, backoff=0.5, on=())
"""A worker that was killed from outside says nothing about its task: once more."""

_SLICES = 2
"""Slices at each of the model's workers: one that it computes, one that waits for it there."""


def embedding_needs() -> Resources:
    """Return what a task takes that goes to the embedder."""
    return Resources(other={EMBEDDER: 1})


def share_embedder(manager: ConcurrencyManager) -> None:
    """Have pipelines take turns at the model: a few slices at a time for each worker that holds it."""
    manager.orchestrator.register_resource(EMBEDDER, _SLICES * manager.thread_pool.workers_of_a_name)


def share_embedder_again(manager: ConcurrencyManager) -> None:
    """Have them take turns at as many workers as there may be now, if they do."""
    if manager.orchestrator.scheduler.admission.index_of(EMBEDDER) is not None:
        share_embedder(manager)

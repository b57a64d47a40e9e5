"""What the runs of all recipes have in common, as far as the engine's run needs to know.

Each recipe that a configuration uses has one ``RecipeRuns`` for all of its pipelines:
it decides and checks before anything starts, holds what they share while they run, and
makes the run of each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping
    from contextlib import AbstractAsyncContextManager

    from tenire.app.model_calls import ModelCalls, ModelUse
    from tenire.concurrency.manager import ConcurrencyManager
    from tenire.pipeline.home_session import HomeSession
    from tenire.pipeline.progress import PipelineProgress
    from tenire.storage.ledger import Ledger

__all__ = ["Engine", "PipelineRun", "RecipeRuns"]


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine that runs pipelines on a home.

    Attributes:
        manager: The engine itself.
        session: Its hold on the home.
        progress: What each pipeline counts, by name.
        calls: The way to models.
        ended: Set once a pipeline has ended, or has run for the first time if it goes on.
    """

    manager: ConcurrencyManager
    session: HomeSession
    progress: Mapping[str, PipelineProgress]
    calls: ModelCalls
    ended: Mapping[str, asyncio.Event]


class PipelineRun(Protocol):
    """One run of one pipeline."""

    async def run(self) -> None:
        """Run the pipeline to its end.

        Raises:
            TenireError: If the pipeline as a whole cannot go on. What was finished is kept.
        """
        ...


class RecipeRuns(Protocol):
    """The pipelines of one recipe.

    Attributes:
        names: Their names.
        models: The models that they call, by the pipeline's name.
    """

    names: tuple[str, ...]
    models: dict[str, ModelUse]

    def record(self, ledger: Ledger) -> None:
        """Keep in the ledger what was decided, and what ``retry`` needs; on a thread."""
        ...

    def started(self, engine: Engine) -> AbstractAsyncContextManager[None]:
        """Hold what these pipelines share, while the block runs."""
        ...

    def run_of(self, name: str, engine: Engine) -> PipelineRun:
        """Return the run of one of them, which has not begun; within ``started``."""
        ...

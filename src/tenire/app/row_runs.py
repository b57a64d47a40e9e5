"""What the runs of all recipes for rows do in the same way: decide once, remember, and start a run of rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tenire.app.produced import absolute
from tenire.app.refusals import about
from tenire.app.row_facts import own_outputs, remember_rows
from tenire.clock import SYSTEM_CLOCK
from tenire.pipeline.embedder_worker import share_embedder
from tenire.pipeline.rows.outputs import output_at
from tenire.pipeline.rows.run import RowRun
from tenire.storage.home import Home

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence

    from tenire.app.config import Config
    from tenire.app.model_calls import ModelUse
    from tenire.app.recipe_runs import Engine, PipelineRun
    from tenire.observe.machine import Machine
    from tenire.pipeline.rows.output import Output
    from tenire.storage.ledger import Ledger

__all__ = ["RowRuns", "output_of"]

PlanT = TypeVar("PlanT")


class RowRuns(ABC, Generic[PlanT]):
    """The pipelines of one recipe; see ``RecipeRuns``. Making one looks at files, and writes nothing.

    Args:
        config: The configuration.
        names: Which of its pipelines.
        machine: What there is to run on.
        chosen: All pipelines that run.
        retries: Those of which only rows are tried that are to be tried again.

    Attributes:
        names: Their names.
        models: What each of them calls, if that is on a server.
        config: As given.
        threads: Threads that a model on this machine computes with.
        plans: What was decided, by name.

    Raises:
        TenireError: If they cannot run.
    """

    def __init__(
        self,
        config: Config,
        names: Sequence[str],
        *,
        machine: Machine,
        chosen: Collection[str],
        retries: Collection[str],
    ) -> None:
        self.names = tuple(names)
        self.models: dict[str, ModelUse] = {}
        self.config = config
        self.threads = machine.model_threads(config.tenire.cpu)
        self._retries = frozenset(retries)
        self.plans = {name: self.plan(name, chosen) for name in names}

    @abstractmethod
    def plan(self, name: str, chosen: Collection[str]) -> PlanT:
        """Decide and check one pipeline, before anything starts.

        Raises:
            TenireError: If it cannot run.
        """

    @abstractmethod
    def run_of(self, name: str, engine: Engine) -> PipelineRun:
        """Return the run of one pipeline."""

    def record(self, ledger: Ledger) -> None:
        """Keep what ``retry`` needs: where the configuration stands."""
        for name in self.names:
            remember_rows(ledger, self.config, name)

    @asynccontextmanager
    async def started(self, engine: Engine) -> AsyncIterator[None]:
        """Share the embedder: each of these pipelines is by itself else."""
        share_embedder(engine.manager)
        yield

    def rows(self, name: str, engine: Engine, **what: Any) -> RowRun:
        """Return a run of rows; ``what`` is the rest of what it takes."""
        return RowRun(
            name, manager=engine.manager, session=engine.session, progress=engine.progress[name], clock=SYSTEM_CLOCK,
            retries_only=name in self._retries, **what,
        )  # fmt: skip

    def configure(self, name: str, engine: Engine) -> None:
        """Tell the engine the share and the class of a pipeline."""
        settings = self.config.pipelines[name]
        engine.manager.orchestrator.configure_pipeline(name, weight=settings.weight, priority=settings.priority)


def output_of(config: Config, name: str, written: str, key: str = "output") -> Output:
    """Return the file that a pipeline of rows writes.

    Args:
        config: A checked configuration.
        name: The pipeline.
        written: What it says of the file.
        key: The setting that says it, for messages.

    Raises:
        ConfigError: If it cannot write there; names the key.
    """
    path = Path(absolute(config.base, written))
    with about(config, f"pipelines.{name}.{key}"):
        output = output_at(path, pipeline=name)
        output.check(own=str(path) in own_outputs(Home(config.tenire.home), name))
    return output

"""The pipelines of a run whose stages are functions of the user."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenire.app.config_schema import PythonStages, StagesPipeline
from tenire.app.produced import absolute
from tenire.app.refusals import about
from tenire.app.row_facts import own_outputs, remember_rows
from tenire.app.row_sources import rows_of
from tenire.clock import SYSTEM_CLOCK
from tenire.errors import ConfigError
from tenire.pipeline.named_functions import load_function
from tenire.pipeline.rows.outputs import output_at
from tenire.pipeline.rows.run import RowRun
from tenire.pipeline.stages.chain import StageChain
from tenire.pipeline.stages.items import items_of
from tenire.pipeline.stages.stage import Stage
from tenire.pipeline.stages.terms import StageTerms
from tenire.storage.home import Home

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence

    from tenire.app.config import Config
    from tenire.app.model_calls import ModelUse
    from tenire.app.recipe_runs import Engine, PipelineRun
    from tenire.pipeline.rows.output import Output
    from tenire.pipeline.rows.records import Rows
    from tenire.storage.ledger import Ledger

__all__ = ["StageRuns"]


@dataclass(frozen=True, slots=True)
class _Plan:
    """One pipeline, as it was decided before anything starts."""

    settings: StagesPipeline
    source: Rows
    terms: StageTerms
    output: Output


class StageRuns:
    """The pipelines of stages of a run. Making one looks at files and imports functions, and writes nothing.

    Args:
        config: The configuration.
        names: Which of its pipelines.
        chosen: All pipelines that run.
        retries: Those of which only rows are tried that are to be tried again.

    Raises:
        TenireError: If they cannot run.
    """

    def __init__(
        self, config: Config, names: Sequence[str], *, chosen: Collection[str], retries: Collection[str]
    ) -> None:
        self.names = tuple(names)
        self.models: dict[str, ModelUse] = {}
        self._config = config
        self._retries = frozenset(retries)
        self._plans = {name: _plan(config, name, chosen) for name in names}

    def record(self, ledger: Ledger) -> None:
        """Keep what ``retry`` needs: where the configuration stands."""
        for name in self.names:
            remember_rows(ledger, self._config, name)

    @asynccontextmanager
    async def started(self, engine: Engine) -> AsyncIterator[None]:
        """Hold nothing: each of these pipelines is by itself."""
        yield

    def run_of(self, name: str, engine: Engine) -> PipelineRun:
        """Return the run of one pipeline."""
        plan = self._plans[name]
        engine.manager.orchestrator.configure_pipeline(
            name, weight=plan.settings.weight, priority=plan.settings.priority
        )
        chain = partial(StageChain, pipeline=name, terms=plan.terms, session=engine.session, clock=SYSTEM_CLOCK)
        return RowRun(
            name, manager=engine.manager, session=engine.session, source=plan.source, recipe=plan.terms,
            answering=chain, output=plan.output, progress=engine.progress[name], clock=SYSTEM_CLOCK,
            retries_only=name in self._retries,
        )  # fmt: skip


def _plan(config: Config, name: str, chosen: Collection[str]) -> _Plan:
    settings = config.pipelines[name]
    assert isinstance(settings, StagesPipeline)
    key = f"pipelines.{name}"
    with about(config, f"{key}.stages"):
        stages = _stages(settings)
    path = Path(absolute(config.base, settings.sink))
    with about(config, f"{key}.sink"):
        output = output_at(path, pipeline=name)
        output.check(own=str(path) in own_outputs(Home(config.tenire.home), name))
    return _Plan(settings, _source(config, name, settings, chosen), StageTerms(stages, f"{key}.stages"), output)


def _stages(settings: StagesPipeline) -> list[Stage]:
    described: Sequence[Any] = settings.functions if isinstance(settings, PythonStages) else settings.stages
    if not described:
        message = "stages must name at least one function, got none"
        raise ConfigError(message, key="stages")
    return [Stage.of(load_function(each, coroutines=True) if isinstance(each, str) else each) for each in described]


def _source(config: Config, name: str, settings: StagesPipeline, chosen: Collection[str]) -> Rows:
    if isinstance(settings, PythonStages) and settings.items is not None:
        return items_of(settings.items, name)
    rows, _ = rows_of(config, name, settings.source, chosen)
    return rows

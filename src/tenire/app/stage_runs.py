"""The pipelines of a run whose stages are functions of the user."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from tenire.app.config_schema import PythonStages, StagesPipeline
from tenire.app.refusals import about
from tenire.app.row_runs import RowRuns, output_of
from tenire.app.row_sources import rows_of
from tenire.clock import SYSTEM_CLOCK
from tenire.errors import ConfigError
from tenire.pipeline.named_functions import load_function
from tenire.pipeline.stages.chain import StageChain
from tenire.pipeline.stages.items import items_of
from tenire.pipeline.stages.stage import Stage
from tenire.pipeline.stages.terms import StageTerms

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from tenire.app.config import Config
    from tenire.app.recipe_runs import Engine, PipelineRun
    from tenire.pipeline.rows.output import Output
    from tenire.pipeline.rows.records import Rows

__all__ = ["StageRuns"]


@dataclass(frozen=True, slots=True)
class _Plan:
    """One pipeline, as it was decided before anything starts."""

    source: Rows
    terms: StageTerms
    output: Output


class StageRuns(RowRuns[_Plan]):
    """The pipelines of stages of a run; making one imports their functions."""

    def plan(self, name: str, chosen: Collection[str]) -> _Plan:
        """Decide and check one pipeline."""
        config = self.config
        settings = config.pipelines[name]
        assert isinstance(settings, StagesPipeline)
        key = f"pipelines.{name}.stages"
        with about(config, key):
            stages = _stages(settings, self.threads)
        output = output_of(config, name, settings.sink, "sink")
        return _Plan(_source(config, name, settings, chosen), StageTerms(stages, key), output)

    def run_of(self, name: str, engine: Engine) -> PipelineRun:
        """Return the run of one pipeline."""
        plan = self.plans[name]
        self.configure(name, engine)
        chain = partial(StageChain, pipeline=name, terms=plan.terms, session=engine.session, clock=SYSTEM_CLOCK)
        return self.rows(name, engine, source=plan.source, recipe=plan.terms, answering=chain, output=plan.output)


def _stages(settings: StagesPipeline, threads: int) -> list[Stage]:
    described: Sequence[Any] = settings.functions if isinstance(settings, PythonStages) else settings.stages
    if not described:
        message = "stages must name at least one function, got none"
        raise ConfigError(message, key="stages")
    functions = [load_function(each, coroutines=True) if isinstance(each, str) else each for each in described]
    return [Stage.of(function, threads=threads) for function in functions]


def _source(config: Config, name: str, settings: StagesPipeline, chosen: Collection[str]) -> Rows:
    if isinstance(settings, PythonStages) and settings.items is not None:
        return items_of(settings.items, name)
    rows, _ = rows_of(config, name, settings.source, chosen)
    return rows

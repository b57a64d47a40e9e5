"""The pipelines of a run that label rows with a model that the home has already."""

from __future__ import annotations

import math
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tenire.app.classify_runs import embed_here
from tenire.app.config_schema import ClassifyPipeline, PredictPipeline
from tenire.app.produced import absolute
from tenire.app.refusals import about
from tenire.app.remote_embedder import is_remote
from tenire.app.row_facts import own_outputs, remember_rows
from tenire.app.row_sources import rows_of
from tenire.clock import SYSTEM_CLOCK
from tenire.errors import ConfigError, ModelFileError
from tenire.ml.predicting import Asked, Predicting, PredictingTerms
from tenire.ml.registry import ModelRegistry
from tenire.ml.tally import Tally
from tenire.pipeline.model_worker import EMBEDDER_SLOTS
from tenire.pipeline.rows.outputs import output_at
from tenire.pipeline.rows.run import RowRun
from tenire.storage.home import Home
from tenire.vectors import embedder_identity

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence

    from tenire.app.config import Config
    from tenire.app.model_calls import ModelUse
    from tenire.app.recipe_runs import Engine, PipelineRun
    from tenire.ml.registry import ModelVersion
    from tenire.observe.machine import Machine
    from tenire.pipeline.rows.output import Output
    from tenire.pipeline.rows.records import Rows
    from tenire.storage.ledger import Ledger
    from tenire.storage.records import Run

__all__ = ["PredictRuns"]


@dataclass(frozen=True, slots=True)
class _Plan:
    """One pipeline, as it was decided before anything starts."""

    settings: PredictPipeline
    source: Rows
    output: Output
    terms: PredictingTerms
    version: str | None


class PredictRuns:
    """The predict pipelines of a run. Making one looks at files, and writes nothing.

    Args:
        config: The configuration.
        names: Which of its pipelines.
        machine: What there is to run on.
        chosen: All pipelines that run.
        retries: Those of which only rows are tried that are to be tried again.

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
        self._config = config
        self._retries = frozenset(retries)
        cores = max(1, math.ceil(machine.usable_cores))
        self._threads = cores if config.tenire.cpu is None else min(cores, config.tenire.cpu)
        self._plans = {name: self._plan(name, chosen) for name in names}

    def record(self, ledger: Ledger) -> None:
        """Keep what ``retry`` needs: where the configuration stands."""
        for name in self.names:
            remember_rows(ledger, self._config, name)

    @asynccontextmanager
    async def started(self, engine: Engine) -> AsyncIterator[None]:
        """Share the embedder."""
        engine.manager.orchestrator.register_resource("embedder", EMBEDDER_SLOTS)
        yield

    def run_of(self, name: str, engine: Engine) -> PipelineRun:
        """Return the run of one pipeline."""
        plan, progress = self._plans[name], engine.progress[name]
        settings, asked, tally = plan.settings, plan.terms.asked, Tally()
        engine.manager.orchestrator.configure_pipeline(name, weight=settings.weight, priority=settings.priority)

        async def first(run: Run) -> None:
            # Only now: a pipeline that runs before may have trained it.
            await rows.tasks.thread(self._find, asked, plan.version)

        rows = RowRun(
            name, manager=engine.manager, session=engine.session, source=plan.source, recipe=plan.terms,
            answering=partial(Predicting, terms=plan.terms, clock=SYSTEM_CLOCK, tally=tally), output=plan.output,
            progress=progress, clock=SYSTEM_CLOCK, retries_only=name in self._retries, first=first,
            count=lambda: progress.figures.update(tally.figures()),
        )  # fmt: skip
        return rows

    def _find(self, asked: Asked, version: str | None) -> None:
        found = _usable(asked, version)
        settings = found.manifest.settings
        asked.version = found.manifest.version
        if settings["features"] == "embedding":
            asked.embed = partial(embed_here, settings["embedder"], self._threads)

    def _plan(self, name: str, chosen: Collection[str]) -> _Plan:
        config = self._config
        settings = config.pipelines[name]
        assert isinstance(settings, PredictPipeline)
        home = Home(config.tenire.home)
        model, _, version = settings.model.partition("@")
        asked = Asked(str(home.path), model)
        if not (model in chosen and isinstance(config.pipelines[model], ClassifyPipeline) and model in settings.after):
            _usable(asked, version or None)
        source, there = rows_of(config, name, settings.source, chosen)
        if there:
            with about(config):
                source.require_fields(("text",), f"pipelines.{name}.source")
        path = Path(absolute(config.base, settings.output))
        with about(config, f"pipelines.{name}.output"):
            output = output_at(path, pipeline=name)
            output.check(own=str(path) in own_outputs(home, name))
        return _Plan(settings, source, output, PredictingTerms(asked, f"pipelines.{name}.source"), version or None)


def _usable(asked: Asked, version: str | None) -> ModelVersion:
    """Return a model that rows can be labelled with.

    Raises:
        ModelFileError: If it is missing or damaged, or its embedder is another one by now.
        ConfigError: If it is of a kind, or has an embedder, that this cannot ask.
    """
    found = ModelRegistry(asked.home).open(asked.name, version)
    settings = found.manifest.settings
    if found.manifest.kind != "classifier":
        message = f"the model {found.label} labels no texts: it is of the kind {found.manifest.kind!r}"
        hint = 'a pipeline with recipe = "classify" trains one that does; others are asked from Python, by a ModelPool'
        raise ConfigError(message, key="model", hint=hint)
    found.verify()
    if settings["features"] != "embedding":
        return found
    if is_remote(settings["embedder"]):
        message = f"the model {found.label} looks at vectors of {settings['embedder']}, which is on a server"
        raise ConfigError(message, key="model", hint='label these rows with source of its recipe = "classify"')
    identity = embedder_identity(settings["embedder"])
    if identity != settings["identity"]:
        message = f"the model {found.label} was trained on vectors of {settings['identity']}, and here is {identity}"
        raise ModelFileError(message, model=asked.name, hint="train it again")
    return found

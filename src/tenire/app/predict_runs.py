"""The pipelines of a run that label rows with a model that the home has already."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tenire.app.classify_runs import embed_here
from tenire.app.config_schema import ClassifyPipeline, PredictPipeline
from tenire.app.refusals import about
from tenire.app.remote_embedder import is_remote
from tenire.app.row_runs import RowRuns, output_of
from tenire.app.row_sources import rows_of
from tenire.clock import SYSTEM_CLOCK
from tenire.errors import ConfigError, ModelFileError
from tenire.ml.predicting import Asked, Predicting, PredictingTerms
from tenire.ml.registry import ModelRegistry
from tenire.ml.tally import Tally
from tenire.storage.home import Home
from tenire.vectors import embedder_identity

if TYPE_CHECKING:
    from collections.abc import Collection

    from tenire.app.recipe_runs import Engine, PipelineRun
    from tenire.ml.registry import ModelVersion
    from tenire.pipeline.rows.output import Output
    from tenire.pipeline.rows.records import Rows
    from tenire.storage.records import Run

__all__ = ["PredictRuns"]


@dataclass(frozen=True, slots=True)
class _Plan:
    """One pipeline, as it was decided before anything starts."""

    source: Rows
    output: Output
    terms: PredictingTerms
    version: str | None


class PredictRuns(RowRuns[_Plan]):
    """The predict pipelines of a run."""

    def plan(self, name: str, chosen: Collection[str]) -> _Plan:
        """Decide and check one pipeline."""
        config = self.config
        settings = config.pipelines[name]
        assert isinstance(settings, PredictPipeline)
        model, _, version = settings.model.partition("@")
        asked = Asked(str(Home(config.tenire.home).path), model)
        if not (model in chosen and isinstance(config.pipelines[model], ClassifyPipeline) and model in settings.after):
            _usable(asked, version or None)
        source, there = rows_of(config, name, settings.source, chosen)
        if there:
            with about(config):
                source.require_fields(("text",), f"pipelines.{name}.source")
        output = output_of(config, name, settings.output)
        return _Plan(source, output, PredictingTerms(asked, f"pipelines.{name}.source"), version or None)

    def run_of(self, name: str, engine: Engine) -> PipelineRun:
        """Return the run of one pipeline."""
        plan, progress, tally = self.plans[name], engine.progress[name], Tally()
        self.configure(name, engine)

        async def first(run: Run) -> None:
            # Only now: a pipeline that runs before may have trained it.
            await rows.tasks.thread(self._find, plan.terms.asked, plan.version)

        rows = self.rows(
            name, engine, source=plan.source, recipe=plan.terms, output=plan.output, first=first,
            answering=partial(Predicting, terms=plan.terms, clock=SYSTEM_CLOCK, tally=tally),
            count=lambda: progress.figures.update(tally.figures()),
        )  # fmt: skip
        return rows

    def _find(self, asked: Asked, version: str | None) -> None:
        found = _usable(asked, version)
        settings = found.manifest.settings
        asked.version = found.manifest.version
        if settings["features"] == "embedding":
            asked.embed = partial(embed_here, settings["embedder"], self.threads)


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

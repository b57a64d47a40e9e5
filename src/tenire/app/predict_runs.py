"""The pipelines of a run that ask a model that the home has already: classifiers of ours, and others in a pool."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from tenire.app.classify_runs import embed_here
from tenire.app.config_schema import ClassifyPipeline, PredictPipeline
from tenire.app.refusals import about
from tenire.app.remote_embedder import is_remote
from tenire.app.row_runs import RowRuns, output_of
from tenire.app.row_sources import rows_of
from tenire.clock import SYSTEM_CLOCK
from tenire.errors import ConfigError, ModelFileError
from tenire.ml.item_predicting import ItemPredicting, PooledRun
from tenire.ml.item_terms import ItemTerms
from tenire.ml.models import KeptModel
from tenire.ml.plain import PlainModel
from tenire.ml.pool import ModelPool
from tenire.ml.predicting import Asked, Predicting, PredictingTerms
from tenire.ml.registry import ModelRegistry
from tenire.ml.tally import ResultTally, Tally
from tenire.ml.tokenizing import TOKENIZER_FILE
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

_OF_ITS_FILES = 3
"""Times its files that a model is thought to take before it is measured."""

_LEAST_MEMORY = 64 << 20

_MOST_AT_ONCE = 64 << 10
"""Characters that a model of texts is asked about at once: more would take memory, and no less time."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """One pipeline, as it was decided before anything starts."""

    source: Rows
    output: Output
    terms: PredictingTerms | ItemTerms
    version: str | None
    factory: PlainModel | None = None
    memory: int = 0


class PredictRuns(RowRuns[_Plan]):
    """The predict pipelines of a run."""

    def plan(self, name: str, chosen: Collection[str]) -> _Plan:
        """Decide and check one pipeline."""
        config = self.config
        settings = config.pipelines[name]
        assert isinstance(settings, PredictPipeline)
        model, _, version = settings.model.partition("@")
        asked = Asked(str(Home(config.tenire.home).path), model)
        trained = config.pipelines.get(model) if model in chosen and model in settings.after else None
        found = None if isinstance(trained, ClassifyPipeline) else _usable(asked, version or None)
        with about(config, f"pipelines.{name}"):
            _check_fields(settings, found)
        field = "columns" if settings.columns else "source" if settings.input is None else "input"
        key = f"pipelines.{name}.{field}"
        terms: PredictingTerms | ItemTerms
        if found is None or found.manifest.kind == "classifier":
            terms = PredictingTerms(asked, key, settings.input or "text")
        else:
            texts = TOKENIZER_FILE in found.manifest.files
            terms = ItemTerms(found.label, key, field=settings.input or "text", columns=settings.columns, texts=texts)
        source, there = rows_of(config, name, settings.source, chosen)
        if there:
            with about(config):
                source.require_fields(terms.fields, key)
        output = output_of(config, name, settings.output)
        if found is None or isinstance(terms, PredictingTerms):
            return _Plan(source, output, terms, version or None)
        threads = self.threads if found.manifest.kind == "onnx" else 1
        factory = PlainModel(KeptModel(asked.home, model, found.manifest.version, threads))
        size = sum((found.folder / file).stat().st_size for file in found.manifest.files)
        return _Plan(source, output, terms, None, factory, _OF_ITS_FILES * size)

    def run_of(self, name: str, engine: Engine) -> PipelineRun:
        """Return the run of one pipeline."""
        plan, progress = self.plans[name], engine.progress[name]
        self.configure(name, engine)
        if isinstance(plan.terms, ItemTerms):
            return self._pooled(name, engine, plan, plan.terms)
        terms, tally = plan.terms, Tally()

        async def first(run: Run) -> None:
            # Only now: a pipeline that runs before may have trained it.
            await rows.tasks.thread(self._find, terms.asked, plan.version)

        rows = self.rows(
            name, engine, source=plan.source, recipe=terms, output=plan.output, first=first,
            answering=partial(Predicting, terms=terms, clock=SYSTEM_CLOCK, tally=tally),
            count=lambda: progress.figures.update(tally.figures()),
        )  # fmt: skip
        return rows

    def _pooled(self, name: str, engine: Engine, plan: _Plan, terms: ItemTerms) -> PipelineRun:
        assert plan.factory is not None  # or its terms would be others
        progress, tally = engine.progress[name], ResultTally()
        pool = ModelPool(engine.manager, pipeline=name)
        # A small home may not have what a model of which nothing is known is thought to take.
        least = min(_LEAST_MEMORY, engine.manager.data_manager.capacity // 2)
        memory, threads = max(plan.memory, least), plan.factory.kept.threads
        weights: dict[str, Any] = {"weigh": _length, "most_weight": _MOST_AT_ONCE} if terms.texts else {}
        pool.add(terms.model, plan.factory, memory=memory, threads=threads, replicas=self.threads, **weights)
        rows = self.rows(
            name, engine, source=plan.source, recipe=terms, output=plan.output,
            answering=lambda _: ItemPredicting(pool, terms=terms, clock=SYSTEM_CLOCK, tally=tally),
            count=lambda: progress.figures.update(tally.figures()),
        )  # fmt: skip
        return PooledRun(pool, rows.run)

    def _find(self, asked: Asked, version: str | None) -> None:
        found = _usable(asked, version)
        settings = found.manifest.settings
        asked.version = found.manifest.version
        if settings["features"] == "embedding":
            asked.embed = partial(embed_here, settings["embedder"], self.threads)


def _length(item: Any) -> int:
    """Return the characters of a text, or of several."""
    texts = item if isinstance(item, list) else [item]
    return sum(len(text) if isinstance(text, str) else 1 for text in texts)


def _check_fields(settings: PredictPipeline, found: ModelVersion | None) -> None:
    """Check that it is plain what the model is given; ``None``: it is a classifier that is trained in the same run."""
    if not settings.columns:
        return
    if settings.input is not None:
        message = f"a model is given either input or columns, got both: {settings.input!r} and {settings.columns!r}"
        raise ConfigError(message, key="columns", hint="leave one of them out")
    if found is None or found.manifest.kind == "classifier":
        message = f"the model {settings.model} labels texts, which are in one field, got columns"
        raise ConfigError(message, key="columns", hint='name that field: input = "text"')


def _usable(asked: Asked, version: str | None) -> ModelVersion:
    """Return a model that can be asked about rows.

    Raises:
        ModelFileError: If it is missing or damaged, or its embedder is another one by now.
        ConfigError: If it is of a kind, or has an embedder, that this cannot ask.
    """
    found = ModelRegistry(asked.home).open(asked.name, version)
    settings = found.manifest.settings
    if found.manifest.kind == "arrays":
        message = f"the model {found.label} cannot be asked: its kind, 'arrays', says no more than numbers"
        raise ConfigError(message, key="model", hint="keep it as ONNX, or as a pickle of your own (allow_pickle=True)")
    found.verify()
    if found.manifest.kind != "classifier":
        return found
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

"""The pipelines of a run that train a small model, and label rows with it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from tenire.app.config_schema import ClassifyPipeline
from tenire.app.model_calls import ModelUse, counted
from tenire.app.refusals import about
from tenire.app.remote_embedder import embed_with, is_remote, model_of
from tenire.app.row_runs import RowRuns, output_of
from tenire.app.row_sources import rows_of
from tenire.clock import SYSTEM_CLOCK
from tenire.errors import MissingExtraError
from tenire.ml.predicting import Asked, Predicting, PredictingTerms
from tenire.ml.training import Training
from tenire.ml.training_terms import TrainingTerms
from tenire.pipeline.run_life import RunLife
from tenire.storage.cache_folder import cache_folder
from tenire.storage.home import Home
from tenire.vectors import embed_texts, embedder_identity, resolve_embedder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection

    from tenire.app.config import Config
    from tenire.app.recipe_runs import Engine, PipelineRun
    from tenire.llm.client import ChatClient
    from tenire.pipeline.progress import PipelineProgress
    from tenire.pipeline.rows.output import Output
    from tenire.pipeline.rows.records import Rows
    from tenire.storage.records import Run

__all__ = ["ClassifyRuns", "embed_here"]


@dataclass(frozen=True, slots=True)
class _Plan:
    """One pipeline, as it was decided before anything starts."""

    settings: ClassifyPipeline
    rows: Rows
    tests: Rows | None
    source: Rows | None
    output: Output | None
    terms: TrainingTerms
    predicting: PredictingTerms
    use: ModelUse | None


class ClassifyRuns(RowRuns[_Plan]):
    """The classify pipelines of a run."""

    _clients: dict[str, ChatClient]

    def plan(self, name: str, chosen: Collection[str]) -> _Plan:
        """Decide and check one pipeline."""
        plan = _plan(self.config, name, chosen)
        if plan.use is not None:
            self.models[name] = plan.use
        return plan

    @asynccontextmanager
    async def started(self, engine: Engine) -> AsyncIterator[None]:
        """Have a client for each embedder that is on a server."""
        async with super().started(engine):
            self._clients = {name: await engine.calls.client(name) for name in self.models}
            yield

    def run_of(self, name: str, engine: Engine) -> PipelineRun:
        """Return the run of one pipeline."""
        plan, progress = self.plans[name], engine.progress[name]
        self.configure(name, engine)
        client = self._clients.get(name)
        embed = _embed(plan.terms, client, self.threads)
        training = Training(
            name, manager=engine.manager, session=engine.session, rows=plan.rows, tests=plan.tests, terms=plan.terms,
            embed=embed, progress=progress, clock=SYSTEM_CLOCK, checkpoint_s=plan.settings.checkpoint_s,
        )  # fmt: skip
        count = (lambda: None) if client is None else partial(counted, client, progress)
        if plan.source is None or plan.output is None:
            return _OnlyTraining(name, engine, training, progress, count)
        asked = plan.predicting.asked
        asked.embed = embed

        async def first(run: Run) -> None:
            await training.run(run, rows.tasks)
            asked.version = training.version

        rows = self.rows(
            name, engine, source=plan.source, recipe=plan.predicting, output=plan.output, count=count, first=first,
            answering=partial(Predicting, terms=plan.predicting, clock=SYSTEM_CLOCK),
        )  # fmt: skip
        progress.stages[:0] = training.stages
        return rows


class _OnlyTraining:
    """A run that has no rows to label."""

    def __init__(
        self, name: str, engine: Engine, training: Training, progress: PipelineProgress, count: Callable[[], object]
    ) -> None:
        progress.unit = "row"
        progress.stages = list(training.stages)
        self._training = training
        self._ledger = engine.session.ledger
        self._life = RunLife(
            name, manager=engine.manager, session=engine.session, progress=progress, clock=SYSTEM_CLOCK, count=count
        )

    async def run(self) -> None:
        """Train, and note the run."""
        async with self._life as life:
            run = await life.begin(at_end=lambda run, _: self._ledger.rows.forget_listed(run))
            await self._training.run(run, life.tasks)
            life.progress.listed = True


def _embed(terms: TrainingTerms, client: ChatClient | None, threads: int) -> Callable[[list[str]], Any] | None:
    if terms.features != "embedding":
        return None
    if client is not None:
        return partial(embed_with, client)
    return partial(embed_here, terms.embedder, threads)


def embed_here(name: str, threads: int, texts: list[str]) -> Any:
    """Embed texts with a model on this machine; runs in a worker process."""
    return embed_texts(name, texts, threads, str(cache_folder()))


def _plan(config: Config, name: str, chosen: Collection[str]) -> _Plan:
    settings = config.pipelines[name]
    assert isinstance(settings, ClassifyPipeline)
    for package in ("numpy", *(() if settings.features == "embedding" else ("sklearn",))):
        if find_spec(package) is None:
            what = f'recipe = "classify" with features = "{settings.features}"'
            raise MissingExtraError(what, extra="ml", missing="scikit-learn" if package == "sklearn" else package)
    key = f"pipelines.{name}"
    rows, there = rows_of(config, name, settings.train, chosen, key="train")
    if there:
        with about(config):
            rows.require_fields(("text", "label"), f"{key}.train")
    tests = source = output = None
    if settings.test:
        tests, _ = rows_of(config, name, settings.test, chosen, key="test")
    if settings.source:
        source, _ = rows_of(config, name, settings.source, chosen)
        assert settings.output is not None  # the configuration's reader has asked for it
        output = output_of(config, name, settings.output)
    terms, use = _terms(config, name, settings)
    predicting = PredictingTerms(Asked(str(Home(config.tenire.home).path), name), f"{key}.source")
    return _Plan(settings, rows, tests, source, output, terms, predicting, use)


def _terms(config: Config, name: str, settings: ClassifyPipeline) -> tuple[TrainingTerms, ModelUse | None]:
    embedder = identity = ""
    use = None
    if settings.features != "embedding":
        identity = settings.features
    elif is_remote(settings.embedder):
        assert settings.quota is not None  # the configuration's reader has asked for it
        quota = config.quotas[settings.quota]
        embedder, identity = settings.embedder, f"{settings.embedder} {quota.base_url}"
        use = ModelUse(model_of(settings.embedder), settings.quota, quota)
    else:
        with about(config, f"pipelines.{name}.embedder"):
            embedder = resolve_embedder(settings.embedder)
            identity = embedder_identity(embedder)
    return TrainingTerms(settings.features, embedder, identity, settings.seed, settings.epochs, settings.balanced), use

"""The pipelines of a run that train a small model, and label rows with it."""

from __future__ import annotations

import math
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenire.app.config_schema import ClassifyPipeline
from tenire.app.model_calls import ModelUse, counted
from tenire.app.produced import absolute
from tenire.app.refusals import about
from tenire.app.remote_embedder import embed_with, is_remote, model_of
from tenire.app.row_facts import own_outputs, remember_rows
from tenire.app.row_sources import rows_of
from tenire.clock import SYSTEM_CLOCK
from tenire.errors import MissingExtraError
from tenire.ml.predicting import Asked, Predicting, PredictingTerms
from tenire.ml.training import Training, TrainingTerms
from tenire.pipeline.model_worker import EMBEDDER_SLOTS
from tenire.pipeline.rows.outputs import output_at
from tenire.pipeline.rows.run import RowRun
from tenire.pipeline.run_life import RunLife
from tenire.storage.cache_folder import cache_folder
from tenire.storage.home import Home
from tenire.vectors import embed_texts, embedder_identity, resolve_embedder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Sequence

    from tenire.app.config import Config
    from tenire.app.recipe_runs import Engine, PipelineRun
    from tenire.llm.client import ChatClient
    from tenire.observe.machine import Machine
    from tenire.pipeline.progress import PipelineProgress
    from tenire.pipeline.rows.output import Output
    from tenire.pipeline.rows.records import Rows
    from tenire.storage.ledger import Ledger
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


class ClassifyRuns:
    """The classify pipelines of a run. Making one looks at files, and writes nothing.

    Args:
        config: The configuration.
        names: Which of its pipelines.
        machine: What there is to run on.
        chosen: All pipelines that run.
        retries: Those of which only rows are tried that are to be tried again.

    Attributes:
        names: Their names.
        models: What each of them calls, if its embedder is on a server.

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
        self._config = config
        self._retries = frozenset(retries)
        self._plans = {name: _plan(config, name, chosen) for name in names}
        self.models = {name: plan.use for name, plan in self._plans.items() if plan.use is not None}
        cores = max(1, math.ceil(machine.usable_cores))
        self._threads = cores if config.tenire.cpu is None else min(cores, config.tenire.cpu)
        self._clients: dict[str, ChatClient] = {}

    def record(self, ledger: Ledger) -> None:
        """Keep what ``retry`` needs: where the configuration stands."""
        for name in self.names:
            remember_rows(ledger, self._config, name)

    @asynccontextmanager
    async def started(self, engine: Engine) -> AsyncIterator[None]:
        """Share the embedder."""
        engine.manager.orchestrator.register_resource("embedder", EMBEDDER_SLOTS)
        self._clients = {name: await engine.calls.client(name) for name in self.models}
        yield

    def run_of(self, name: str, engine: Engine) -> PipelineRun:
        """Return the run of one pipeline."""
        plan, progress = self._plans[name], engine.progress[name]
        settings = plan.settings
        engine.manager.orchestrator.configure_pipeline(name, weight=settings.weight, priority=settings.priority)
        client = self._clients.get(name)
        embed = _embed(plan.terms, client, self._threads)
        training = Training(
            name, manager=engine.manager, session=engine.session, rows=plan.rows, tests=plan.tests, terms=plan.terms,
            embed=embed, progress=progress, clock=SYSTEM_CLOCK, checkpoint_s=settings.checkpoint_s,
        )  # fmt: skip
        count = (lambda: None) if client is None else partial(counted, client, progress)
        if plan.source is None or plan.output is None:
            return _OnlyTraining(name, engine, training, progress, count)
        asked = plan.predicting.asked
        asked.embed = embed

        async def first(run: Run) -> None:
            await training.run(run, rows.tasks)
            asked.version = training.version

        rows = RowRun(
            name, manager=engine.manager, session=engine.session, source=plan.source, recipe=plan.predicting,
            answering=partial(Predicting, terms=plan.predicting, clock=SYSTEM_CLOCK), output=plan.output,
            progress=progress, clock=SYSTEM_CLOCK, retries_only=name in self._retries, count=count, first=first,
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
        path = Path(absolute(config.base, settings.output))
        with about(config, f"{key}.output"):
            output = output_at(path, pipeline=name)
            output.check(own=str(path) in own_outputs(Home(config.tenire.home), name))
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

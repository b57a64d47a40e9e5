"""The documents pipelines of a run: one place for their passages, one model for all."""

from __future__ import annotations

import json
import math
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from tenire.app.config_schema import DocumentsPipeline
from tenire.app.place import choose_place, require_documents_extra
from tenire.clock import SYSTEM_CLOCK
from tenire.documents.prepare import Prepared, PrepareOptions, prepare, recipe_identity
from tenire.pipeline.document_recipe import DocumentRecipe
from tenire.pipeline.document_run import DocumentRun
from tenire.pipeline.files import FileSource
from tenire.pipeline.model_worker import EMBEDDER_SLOTS
from tenire.storage.home import Home

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from tenire.app.config import Config
    from tenire.app.recipe_runs import Engine
    from tenire.observe.machine import Machine
    from tenire.pipeline.files import PathSource
    from tenire.protocols import SourceFile
    from tenire.storage.ledger import Ledger

__all__ = ["DocumentRuns"]


class DocumentRuns:
    """The documents pipelines of a run. Making one looks at paths and packages, and writes nothing.

    Args:
        config: The configuration.
        names: Which of its pipelines.
        machine: What the machine offers.
        sources: Files to read instead of a pipeline's own source.

    Attributes:
        place: Where passages go and who embeds them.

    Raises:
        TenireError: If they cannot run.
    """

    def __init__(
        self, config: Config, names: Sequence[str], *, machine: Machine, sources: Mapping[str, PathSource]
    ) -> None:
        require_documents_extra()
        self.names = tuple(names)
        self._pipelines = {name: _documents(config, name) for name in names}
        self._owns_all = not config.partial
        pipelines = self._pipelines.values()
        store = next((pipeline.store for pipeline in pipelines if pipeline.store != "lancedb"), "lancedb")
        embedder = next((pipeline.embedder for pipeline in pipelines if pipeline.embedder != "auto"), "auto")
        self.place = choose_place(Home(config.tenire.home), store=store, embedder=embedder)
        exclude = (self.place.home.path, self.place.store)
        self._sources = {
            name: sources.get(name) or FileSource(pipeline.source, config.base, exclude=exclude)
            for name, pipeline in self._pipelines.items()
        }
        cores = max(1, math.ceil(machine.usable_cores))
        self._threads = cores if config.tenire.cpu is None else min(cores, config.tenire.cpu)

    def record(self, ledger: Ledger) -> None:
        """Keep where passages go, and what ``retry`` needs to run a pipeline again."""
        self.place.record(ledger)
        for name, pipeline in self._pipelines.items():
            facts = {"max_file": pipeline.max_file, "weight": pipeline.weight, "priority": pipeline.priority}
            text = json.dumps(facts, sort_keys=True)
            if ledger.setting(f"pipeline:{name}") != text:
                ledger.remember(f"pipeline:{name}", text)

    @asynccontextmanager
    async def started(self, engine: Engine) -> AsyncIterator[None]:
        """Share the model; forget what waited for its commit once nothing does."""
        manager = engine.manager
        manager.orchestrator.register_resource("embedder", EMBEDDER_SLOTS)
        yield
        ran = [engine.progress[name] for name in self.names]
        if all(each.state == "done" for each in ran) and any(each.chunks for each in ran):
            await manager.submit(engine.session.forget_all, on="thread", name="forget memos")

    def run_of(self, name: str, engine: Engine) -> DocumentRun:
        """Return the run of one pipeline."""
        pipeline = self._pipelines[name]
        options = PrepareOptions(max_file=pipeline.max_file)
        engine.manager.orchestrator.configure_pipeline(name, weight=pipeline.weight, priority=pipeline.priority)
        recipe = DocumentRecipe(
            identity=recipe_identity(options),
            prepare=partial(_prepare, options),
            embed=self.place.embed(self._threads),
            model=self.place.identity,
        )
        return DocumentRun(
            name, manager=engine.manager, session=engine.session, source=self._sources[name], owns_all=self._owns_all,
            recipe=recipe, progress=engine.progress[name], clock=SYSTEM_CLOCK,
        )  # fmt: skip


def _documents(config: Config, name: str) -> DocumentsPipeline:
    pipeline = config.pipelines[name]
    assert isinstance(pipeline, DocumentsPipeline)
    return pipeline


def _prepare(options: PrepareOptions, files: list[SourceFile], known: Mapping[str, str]) -> list[Prepared]:
    return prepare(files, options, known)

"""The documents pipelines of a run: one place for their passages, one model for all."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenire.app.boilerplate import find_lines, kept_lines
from tenire.app.config_schema import DocumentsPipeline
from tenire.app.config_tables import PageSettings
from tenire.app.document_settings import cleaning_of, cutting_of, facts_of
from tenire.app.embedder_upgrade import upgrade_embedder
from tenire.app.model_calls import ModelUse, counted
from tenire.app.place import choose_place, require_documents_extra
from tenire.app.refusals import about
from tenire.app.remote_embedder import EmbedderServer, embed_with, is_remote, model_of
from tenire.app.row_facts import remember_rows
from tenire.app.row_sources import documents_of
from tenire.clock import SYSTEM_CLOCK
from tenire.documents.boilerplate import Repeated
from tenire.documents.looking import look
from tenire.documents.prepare import Prepared, PrepareOptions, prepare, recipe_identity
from tenire.documents.unpacking import unpack
from tenire.documents.user_stages import stage_of
from tenire.errors import ConfigError
from tenire.pipeline.document_recipe import DocumentRecipe
from tenire.pipeline.document_run import DocumentRun
from tenire.pipeline.embedder_worker import share_embedder
from tenire.pipeline.files import FileSource
from tenire.pipeline.item_source import ItemSource
from tenire.pipeline.progress import StageProgress
from tenire.pipeline.watching.following import Following
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence

    from tenire.app.boilerplate import Found
    from tenire.app.config import Config
    from tenire.app.recipe_runs import Engine, PipelineRun
    from tenire.app.stores import OpenStore
    from tenire.llm.client import ChatClient
    from tenire.observe.machine import Machine
    from tenire.pipeline.files import PathSource
    from tenire.pipeline.listing import Source
    from tenire.pipeline.progress import PipelineProgress
    from tenire.protocols import Look, SourceFile, Unpacked

__all__ = ["DocumentRuns"]

_ANY_TEXT = "dimension"


class DocumentRuns:
    """The documents pipelines of a run. Making one looks at paths and packages, and writes nothing.

    Args:
        config: The configuration.
        names: Which of its pipelines.
        chosen: All pipelines that run.
        machine: What the machine offers.
        sources: Files to read instead of a pipeline's own source.
        watch: Whether they go on after their run, and take in what changes.

    Attributes:
        place: Where passages go and who embeds them.

    Raises:
        TenireError: If they cannot run.
    """

    def __init__(
        self,
        config: Config,
        names: Sequence[str],
        *,
        chosen: Collection[str],
        machine: Machine,
        sources: Mapping[str, PathSource],
        watch: bool = False,
    ) -> None:
        require_documents_extra()
        self.names = tuple(names)
        self._config = config
        self._pipelines = {name: _documents(config, name) for name in names}
        self._owns_all = not config.partial
        self._watch = watch
        pipelines = self._pipelines.values()
        store = next((pipeline.store for pipeline in pipelines if pipeline.store != "lancedb"), "lancedb")
        embedder = next((pipeline.embedder for pipeline in pipelines if pipeline.embedder != "auto"), "auto")
        home = Home(config.tenire.home)
        self.place = choose_place(home, store=store, embedder=embedder, upgrade=config.upgrade_embedder)
        self._options = {
            name: _options(config, name, pipeline, self.place.embedder) for name, pipeline in self._pipelines.items()
        }
        # Here, not when a run begins: it reads the source of functions, and the loop must not wait for that.
        self._identities = {name: recipe_identity(options) for name, options in self._options.items()}
        exclude = (self.place.home.path, *([self.place.store] if isinstance(self.place.store, Path) else ()))
        self._pages = {
            name: pipeline.source
            for name, pipeline in self._pipelines.items()
            if isinstance(pipeline.source, PageSettings)
        }
        if self._pages:
            from tenire.app.page_runs import check_pages  # a room of its own, which few pipelines need

            check_pages()
        self._sources = {
            name: sources.get(name) or documents_of(config, name, pipeline, chosen, exclude)
            for name, pipeline in self._pipelines.items()
            if not isinstance(pipeline.source, PageSettings)
        }
        self._server: EmbedderServer | None = None
        self.models = self._remote_models(config) if is_remote(self.place.embedder) else {}
        self._clients: dict[str, ChatClient] = {}
        self._finding = asyncio.Lock()
        self._threads = machine.model_threads(config.tenire.cpu)

    @property
    def watched(self) -> list[str]:
        """Pipelines that can go on after their run: those whose source is files."""
        return [name for name, source in self._sources.items() if isinstance(source, FileSource)]

    def _remote_models(self, config: Config) -> dict[str, ModelUse]:
        model = model_of(self.place.embedder)
        uses: dict[str, ModelUse] = {}
        for name, pipeline in self._pipelines.items():
            if pipeline.quota is not None:
                settings = config.quotas[pipeline.quota]
                self._server = EmbedderServer.of(settings)
                uses[name] = ModelUse(model, pipeline.quota, settings)
        for name in self._pipelines.keys() - uses.keys():
            server = self._server or self._recorded_server()
            if server is None:
                message = f"the embedder {self.place.embedder} needs a quota, which says where its server is"
                hint = "name it in a configuration file: quota = … under the pipeline, and a table [quotas.…]"
                raise ConfigError(message, key="embedder", hint=hint)
            self._server = server
            uses[name] = ModelUse(model, "embedder", server.settings())
        return uses

    def _recorded_server(self) -> EmbedderServer | None:
        if not Ledger.exists(self.place.home):
            return None
        with Ledger.read(self.place.home) as ledger:
            return EmbedderServer.recorded(ledger)

    def open_store(self) -> OpenStore:
        """Open the store, making it if there is none."""
        return self.place.open_store()

    def record(self, ledger: Ledger) -> None:
        """Keep where passages go, and what ``retry`` needs to run a pipeline again."""
        # The store is another embedder's until all of it was embedded again.
        if not self.place.replaces:
            self.place.record(ledger)
        if self._server is not None:
            self._server.record(ledger)
        for name, pipeline in self._pipelines.items():
            if isinstance(self._sources.get(name), ItemSource):
                remember_rows(ledger, self._config, name)
                continue
            text = json.dumps(facts_of(pipeline), sort_keys=True)
            if ledger.setting(f"pipeline:{name}") != text:
                ledger.remember(f"pipeline:{name}", text)

    @asynccontextmanager
    async def started(self, engine: Engine) -> AsyncIterator[None]:
        """Share the model; forget what waited for its commit once nothing does."""
        manager = engine.manager
        share_embedder(manager)
        self._clients = {name: await engine.calls.client(name) for name in self.models}
        if self.place.replaces:
            await upgrade_embedder(engine, self.place, self._threads)
            self.place = replace(self.place, replaces="")
        yield
        ran = [engine.progress[name] for name in self.names]
        if all(each.state == "done" for each in ran) and any(each.chunks for each in ran):
            await manager.submit(engine.session.forget_all, on="thread", name="forget memos")

    def run_of(self, name: str, engine: Engine) -> PipelineRun:
        """Return the run of one pipeline."""
        pipeline = self._pipelines[name]
        engine.manager.orchestrator.configure_pipeline(name, weight=pipeline.weight, priority=pipeline.priority)
        progress = engine.progress[name]
        make = partial(self._made, name, engine)
        if name in self._pages:
            from tenire.app.page_runs import PageRun

            return PageRun(
                name, engine=engine, settings=self._pages[name], progress=progress, make=make, whole=self._owns_all,
                clock=SYSTEM_CLOCK,
            )  # fmt: skip
        source = self._sources[name]
        if self._watch and isinstance(source, FileSource):
            return Following(
                name, manager=engine.manager, source=source, progress=progress, make=make,
                first_ended=engine.ended[name].set, clock=SYSTEM_CLOCK,
            )  # fmt: skip
        if name not in self._clients and self._options[name].cleaning.repeated is None:
            return self._document_run(name, engine, source, progress, self.place.embed(self._threads))
        return _LaterRun(partial(make, source, progress))

    async def _made(self, name: str, engine: Engine, source: Source, progress: PipelineProgress) -> DocumentRun:
        """Return a run; what it needs for that is found out first.

        That is which lines repeat over its documents, and how long the vectors of a server are.
        """
        await self._find_lines(name, engine, source, progress)
        if name not in self._clients:
            return self._document_run(name, engine, source, progress, self.place.embed(self._threads))
        client = self._clients[name]
        async with self._finding:
            if not self.place.identity:
                found = await embed_with(client, [_ANY_TEXT])
                self.place = self.place.with_dimension(found.shape[1])
                await engine.manager.submit(self.record, engine.session.ledger, on="thread", name="record embedder")
        # What calls cost is counted from the first run on, whatever a round counts.
        count = partial(counted, client, engine.progress[name])
        return self._document_run(name, engine, source, progress, partial(embed_with, client), count)

    async def _find_lines(self, name: str, engine: Engine, source: Source, progress: PipelineProgress) -> None:
        options, ledger = self._options[name], engine.session.ledger
        repeated = options.cleaning.repeated
        if repeated is None:
            return
        if isinstance(source, FileSource) or (name in self._pages and self._owns_all):
            progress.stages = [StageProgress("survey", unit="file", doing="finding the lines that repeat")]
            found: Found | None = await find_lines(
                name, repeated.share, source, options, manager=engine.manager, ledger=ledger,
                limit_s=self._pipelines[name].file_timeout_s,
            )  # fmt: skip
        else:
            found = await engine.manager.submit(kept_lines, ledger, name, on="thread", name="repeated lines")
        lines = Repeated(repeated.share) if found is None else found.repeated
        options = replace(options, cleaning=replace(options.cleaning, repeated=lines))
        self._options[name] = options
        self._identities[name] = await engine.manager.submit(
            recipe_identity, options, on="thread", name="identity of the recipe"
        )

    def _document_run(
        self,
        name: str,
        engine: Engine,
        source: Source,
        progress: PipelineProgress,
        embed: Any,
        count: Any = lambda: None,
    ) -> DocumentRun:
        options = self._options[name]
        recipe = DocumentRecipe(
            identity=self._identities[name], prepare=partial(_prepare, options), embed=embed,
            model=self.place.identity, unpack=partial(_unpack, options), look=partial(_look, options),
            limit_s=self._pipelines[name].file_timeout_s,
            near=options.cleaning.near,
        )  # fmt: skip
        return DocumentRun(
            name, manager=engine.manager, session=engine.session, source=source,
            owns_all=self._owns_all and (name in self._pages or source is self._sources[name]),
            recipe=recipe, progress=progress, clock=SYSTEM_CLOCK, count=count,
        )  # fmt: skip


class _LaterRun:
    """A run that can only be made once something was found out."""

    def __init__(self, make: Callable[[], Awaitable[DocumentRun]]) -> None:
        self._make = make

    async def run(self) -> None:
        """Make the run, and run it."""
        await (await self._make()).run()


def _documents(config: Config, name: str) -> DocumentsPipeline:
    pipeline = config.pipelines[name]
    assert isinstance(pipeline, DocumentsPipeline)
    return pipeline


def _options(config: Config, name: str, pipeline: DocumentsPipeline, embedder: str) -> PrepareOptions:
    with about(config, f"pipelines.{name}.passage_tokens"):
        cutting = cutting_of(pipeline, embedder)
    options = PrepareOptions(
        max_file=pipeline.max_file,
        max_expanded=pipeline.max_expanded,
        cleaning=cleaning_of(pipeline),
        cutting=cutting,
    )
    with about(config, f"pipelines.{name}.stages"):
        for stage in pipeline.stages:
            stage_of(stage)
    with about(config, f"pipelines.{name}.validate.function"):
        recipe_identity(options)  # what it names is loaded here, before anything starts
    return options


def _prepare(options: PrepareOptions, files: list[SourceFile], known: Mapping[str, str]) -> list[Prepared]:
    return prepare(files, options, known)


def _unpack(
    options: PrepareOptions, container: SourceFile, content_hash: str, start: int, most: int, expanded: int
) -> Unpacked:
    return unpack(container, content_hash, start, options, most, expanded)


def _look(options: PrepareOptions, file: SourceFile, number: int | None) -> Look:
    return look(file, number, options)

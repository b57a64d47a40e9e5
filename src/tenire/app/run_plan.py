"""What a run decides and checks before anything starts."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tenire.app.config import check_runnable
from tenire.app.config_schema import ChatPipeline, ClassifyPipeline, DocumentsPipeline, PredictPipeline, StagesPipeline
from tenire.app.model_calls import ModelCalls
from tenire.app.place import open_recorded_store
from tenire.errors import ConfigError
from tenire.observe.machine import read_machine
from tenire.storage.home import Home

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tenire.app.config import Config
    from tenire.app.recipe_runs import RecipeRuns
    from tenire.app.stores import StorePlace
    from tenire.pipeline.files import PathSource
    from tenire.protocols import VectorStore

__all__ = ["RunPlan"]


_log = logging.getLogger("tenire.runs")


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What was decided before anything starts.

    Attributes:
        home: The home.
        names: The pipelines to run, in the order of the configuration.
        recipes: The same by recipe.
        store: Where the store is, if one of them writes to it.
        open_store: Opens the home's store, for what an earlier run has left open, too.
        cpu: Slots to share out.
        memory: Bytes to share out.
        calls: The way to models.
    """

    home: Home
    names: tuple[str, ...]
    recipes: tuple[RecipeRuns, ...]
    store: StorePlace | None
    open_store: Callable[[], VectorStore]
    cpu: float
    memory: int
    calls: ModelCalls

    @classmethod
    def of(
        cls,
        config: Config,
        only: Sequence[str],
        sources: Mapping[str, PathSource],
        retries: frozenset[str],
        watch: bool = False,
    ) -> RunPlan:
        """Decide and check; writes and sends nothing.

        Args:
            config: A checked configuration.
            only: Names of the pipelines to run; empty for all.
            sources: Files to read instead of the own source of a documents pipeline.
            retries: Pipelines of rows of which only those are tried that are to be tried again.
            watch: Whether documents pipelines go on after their run.

        Raises:
            TenireError: If nothing can start.
        """
        names = check_runnable(config, only)
        machine = read_machine()
        home = Home(config.tenire.home)
        recipes: list[RecipeRuns] = []
        store: StorePlace | None = None
        open_store: Callable[[], VectorStore] = partial(open_recorded_store, home)
        # Each recipe brings packages of its own, which only those who use it have to wait for.
        documents = [name for name in names if isinstance(config.pipelines[name], DocumentsPipeline)]
        watched: list[str] = []
        if documents:
            from tenire.app.document_runs import DocumentRuns

            runs = DocumentRuns(config, documents, chosen=names, machine=machine, sources=sources, watch=watch)
            store, open_store = runs.place.store, runs.open_store
            recipes.append(runs)
            watched = runs.watched
        if watch:
            _check_watched(names, watched)
        chats = [name for name in names if isinstance(config.pipelines[name], ChatPipeline)]
        if chats:
            from tenire.app.chat_runs import ChatRuns

            recipes.append(ChatRuns(config, chats, chosen=names, retries=retries))
        staged = [name for name in names if isinstance(config.pipelines[name], StagesPipeline)]
        if staged:
            from tenire.app.stage_runs import StageRuns

            recipes.append(StageRuns(config, staged, machine=machine, chosen=names, retries=retries))
        classifying = [name for name in names if isinstance(config.pipelines[name], ClassifyPipeline)]
        if classifying:
            from tenire.app.classify_runs import ClassifyRuns

            recipes.append(ClassifyRuns(config, classifying, machine=machine, chosen=names, retries=retries))
        predicting = [name for name in names if isinstance(config.pipelines[name], PredictPipeline)]
        if predicting:
            from tenire.app.predict_runs import PredictRuns

            recipes.append(PredictRuns(config, predicting, machine=machine, chosen=names, retries=retries))
        cpu = config.tenire.cpu
        models = {name: use for recipe in recipes for name, use in recipe.models.items()}
        calls = ModelCalls(config, models, machine)
        return cls(
            home=home,
            names=names,
            recipes=tuple(recipes),
            store=store,
            open_store=open_store,
            cpu=machine.default_cpu if cpu is None else cpu,
            memory=calls.memory,
            calls=calls,
        )


def _check_watched(names: Sequence[str], watched: Sequence[str]) -> None:
    """Refuse to watch nothing, and say what runs once though others are watched."""
    if not watched:
        message = (
            f"only documents pipelines whose source is files can be watched, and none of {', '.join(names)} is one"
        )
        raise ConfigError(message, key="--watch", hint="leave --watch out")
    once = [name for name in names if name not in watched]
    if once:
        _log.warning("not watched, so it runs once: %s (only files can be watched)", ", ".join(once))

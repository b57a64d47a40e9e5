"""The chat pipelines of a run."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tenire.app.config_schema import ChatPipeline
from tenire.app.model_calls import ModelUse, counted, local_use
from tenire.app.produced import absolute
from tenire.app.refusals import about
from tenire.app.row_facts import remember_rows
from tenire.app.row_sources import rows_of
from tenire.clock import SYSTEM_CLOCK
from tenire.errors import ConfigError
from tenire.llm.asked_ahead import AskedAhead
from tenire.llm.chat_recipe import ChatRecipe
from tenire.pipeline.rows.answering import OneByOne
from tenire.pipeline.rows.outputs import lines_at
from tenire.pipeline.rows.run import RowRun
from tenire.pipeline.rows.template import Template

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence

    from tenire.app.config import Config
    from tenire.app.recipe_runs import Engine, PipelineRun
    from tenire.llm.client import ChatClient
    from tenire.pipeline.rows.output import RowOutput
    from tenire.pipeline.rows.records import Rows
    from tenire.storage.ledger import Ledger

__all__ = ["ChatPlan", "ChatRuns", "plan_chat"]

_OUTPUT = ("id", "output", "usage")


@dataclass(frozen=True, slots=True)
class ChatPlan:
    """One chat pipeline, as it was decided before anything starts.

    Attributes:
        settings: What the configuration says.
        key: Its table, for messages.
        source: Its rows.
        prompt: Its prompt.
        system: What goes before it, or ``None``.
        output: Its file.
        use: The model that it calls.
        schema: The JSON schema of its replies, or ``None``.
    """

    settings: ChatPipeline
    key: str
    source: Rows
    prompt: Template
    system: Template | None
    output: RowOutput
    use: ModelUse
    schema: dict[str, Any] | None

    def ahead(self, client: ChatClient) -> AskedAhead | None:
        """Return what asks in batches, or ``None`` if nothing does."""
        settings = self.settings
        if settings.mode == "realtime":
            return None
        return AskedAhead(
            partial(
                client.batch,
                mode=settings.mode,
                schema=self.schema,
                deadline=settings.deadline_s,
                most_lines=settings.batch_rows,
                most_bytes=settings.batch_bytes,
            )
        )

    @property
    def parameters(self) -> dict[str, Any]:
        """What is sent with each prompt beside its limit of tokens."""
        temperature = self.settings.temperature
        return {} if temperature is None else {"temperature": temperature}

    def recipe(self, complete: Any, ahead: AskedAhead | None = None) -> ChatRecipe:
        """Return what is done to each row, once there is somebody to ask."""
        settings = self.settings
        asked: dict[str, Any] = {"max_output_tokens": settings.max_output_tokens, "temperature": settings.temperature}
        if self.schema is not None:
            asked["schema"] = self.schema
        return ChatRecipe(
            f"{self.key}.prompt",
            complete,
            settings.model,
            self.prompt,
            self.system,
            shorten=settings.on_too_long == "shorten",
            asked=asked,
            ahead=ahead,
        )


class ChatRuns:
    """The chat pipelines of a run. Making one looks at files, and writes nothing.

    Args:
        config: The configuration.
        names: Which of its pipelines.
        chosen: All pipelines that run.
        retries: Those of which only rows are tried that are to be tried again.

    Attributes:
        names: Their names.
        models: What each of them calls.

    Raises:
        TenireError: If they cannot run.
    """

    def __init__(
        self, config: Config, names: Sequence[str], *, chosen: Collection[str], retries: Collection[str]
    ) -> None:
        self.names = tuple(names)
        self._config = config
        self._retries = frozenset(retries)
        self._plans = {name: plan_chat(config, name, chosen) for name in names}
        self.models = {name: plan.use for name, plan in self._plans.items()}
        self._clients: dict[str, ChatClient] = {}

    def record(self, ledger: Ledger) -> None:
        """Keep what ``retry`` needs: where the configuration stands."""
        for name in self.names:
            remember_rows(ledger, self._config, name)

    @asynccontextmanager
    async def started(self, engine: Engine) -> AsyncIterator[None]:
        """Have a client for each pipeline."""
        for name, plan in self._plans.items():
            settings = plan.settings
            self._clients[name] = await engine.calls.client(
                name,
                timeout=settings.timeout_s,
                max_output_tokens=settings.max_output_tokens,
                parameters=plan.parameters,
                cache=settings.cache,
                ttl=settings.ttl_s,
                stale=settings.stale_s,
            )
        yield

    def run_of(self, name: str, engine: Engine) -> PipelineRun:
        """Return the run of one pipeline."""
        plan, client, progress = self._plans[name], self._clients[name], engine.progress[name]
        settings = plan.settings
        engine.manager.orchestrator.configure_pipeline(name, weight=settings.weight, priority=settings.priority)
        ahead = plan.ahead(client)
        recipe = plan.recipe(partial(client.complete, schema=plan.schema), ahead)
        count = partial(counted, client, progress, ahead)
        engine.calls.count_at_end(count)
        return RowRun(
            name, manager=engine.manager, session=engine.session, source=plan.source, recipe=recipe,
            answering=partial(OneByOne, recipe=recipe, clock=SYSTEM_CLOCK, slots=partial(engine.calls.slots, name)),
            output=plan.output, progress=progress, clock=SYSTEM_CLOCK, retries_only=name in self._retries,
            count=count,
            ahead=None if ahead is None else partial(ahead.ask, recipe),
        )  # fmt: skip


def plan_chat(config: Config, name: str, chosen: Collection[str]) -> ChatPlan:
    """Decide and check one chat pipeline; reads the first rows of its source.

    Args:
        config: A checked configuration.
        name: The pipeline.
        chosen: All pipelines that run; what they write first need not be there yet.

    Raises:
        ConfigError: If it cannot run; names the key.
    """
    settings = config.pipelines[name]
    assert isinstance(settings, ChatPipeline)
    key = f"pipelines.{name}"
    _check(config, settings, key)
    prompt = Template(settings.prompt)
    system = Template(settings.system) if settings.system is not None else None
    with about(config, f"{key}.output"):
        output = lines_at(Path(absolute(config.base, settings.output)), pipeline=name, keys=_OUTPUT)
        output.check()
    source, there = rows_of(config, name, settings.source, chosen)
    if there:
        for field, template in (("prompt", prompt), ("system", system)):
            if template is not None:
                with about(config):
                    source.require_fields(template.fields, f"{key}.{field}")
    use = _use(config, settings)
    schema = _schema(config, settings, f"{key}.schema")
    return ChatPlan(settings, key, source, prompt, system, output, use, schema)


def _use(config: Config, settings: ChatPipeline) -> ModelUse:
    if settings.local:
        return local_use(settings.model)
    assert settings.quota is not None  # the configuration's reader has asked for it
    quota = config.quotas[settings.quota]
    return ModelUse(settings.model, settings.quota, quota, settings.budget_usd, fallback=settings.fallback)


def _check(config: Config, settings: ChatPipeline, key: str) -> None:
    with about(config):
        if settings.mode != "realtime" and settings.local:
            message = f"a model on this machine answers no batches, got mode = {settings.mode!r}"
            raise ConfigError(message, key=f"{key}.mode", hint='use mode = "realtime"')
        if settings.deadline_s is not None and settings.mode != "auto":
            message = f"deadline_s goes with mode = 'auto', got mode = {settings.mode!r}"
            raise ConfigError(message, key=f"{key}.deadline_s")
        if settings.fallback and settings.local:
            message = f"a model on this machine has no fallback, got model = {settings.model!r}"
            raise ConfigError(message, key=f"{key}.fallback", hint="leave it out, or name a quota and a model of it")

        _check_cache(settings, key)


def _check_cache(settings: ChatPipeline, key: str) -> None:
    ttl, stale = settings.ttl_s, settings.stale_s
    if not settings.cache and (ttl is not None or stale):
        name = "stale_s" if ttl is None else "ttl_s"
        message = f"{name} goes with cache = true, got {name} = {stale if ttl is None else ttl:g} with cache = false"
        raise ConfigError(message, key=f"{key}.{name}", hint="leave one of them out")
    if stale and ttl is None:
        message = f"stale_s goes with ttl_s, without which no kept reply grows stale, got stale_s = {stale:g} alone"
        raise ConfigError(message, key=f"{key}.stale_s", hint="say in ttl_s for how many seconds a reply is fresh")
    if settings.mode != "realtime" and (ttl is not None or not settings.cache):
        name, value = ("cache", "false") if ttl is None else ("ttl_s", f"{ttl:g}")
        message = f"{name} = {value} goes with mode = 'realtime', got mode = {settings.mode!r}"
        hint = "rows find the replies of batches, which may take a day, among those that are kept: leave it out"
        raise ConfigError(message, key=f"{key}.{name}", hint=hint)


def _schema(config: Config, settings: ChatPipeline, key: str) -> dict[str, Any] | None:
    if settings.schema is None:
        return None
    path = absolute(config.base, settings.schema)
    with about(config, key):
        try:
            schema = msgspec.json.decode(Path(path).read_bytes())
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}", key=key) from error
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise ConfigError(f"{path} is not JSON ({error})", key=key) from error
        if not isinstance(schema, dict):
            raise ConfigError(f"{path} must hold a JSON schema, an object", key=key)
        return schema

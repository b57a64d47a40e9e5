"""What all pipelines of a run share that call models: quotas, replies and money."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from tenire.app.config_schema import PriceSettings, QuotaSettings
from tenire.app.refusals import about
from tenire.errors import ConfigError, MissingExtraError
from tenire.llm.addresses import read_address
from tenire.llm.dialects import choose_dialect
from tenire.llm.keys import find_key
from tenire.llm.money import Price
from tenire.llm.prices import price_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from tenire.app.config import Config
    from tenire.concurrency.manager import ConcurrencyManager
    from tenire.concurrency.quotas import Quota, QuotaStatistics
    from tenire.llm.books import Books
    from tenire.llm.client import ChatClient
    from tenire.llm.dialects import Dialect
    from tenire.observe.machine import Machine
    from tenire.pipeline.progress import PipelineProgress
    from tenire.storage.home import Home

__all__ = ["ModelCalls", "ModelUse", "counted", "prices_of_use"]

LOCAL_QUOTA = "this machine"
"""The quota of models on this machine."""

LOCAL_CALLS = 2

_MEMORY_BYTES = 4 << 20
"""Replies that a pipeline's client keeps in memory: the home has them all, and rows seldom repeat."""


@dataclass(frozen=True, slots=True)
class ModelUse:
    """The model that a pipeline calls.

    Attributes:
        model: Its name at the provider.
        quota: The name of the quota that the calls share.
        settings: What the quota says.
        budget_usd: What the pipeline may ever spend, or ``None``.
        local: Whether the model is on this machine.
        fallback: Models that are asked in order when all tries have failed.
    """

    model: str
    quota: str
    settings: QuotaSettings
    budget_usd: float | None = None
    local: bool = False
    fallback: tuple[str, ...] = ()


class ModelCalls:
    """The way to models for the pipelines of a run. Making one looks at keys and prices, and writes nothing.

    Args:
        config: The configuration.
        uses: The model that each pipeline calls, by the pipeline's name.
        machine: What it runs on.

    Attributes:
        memory: Bytes that the engine is to share out: as configured, or what is usual and what models
            on this machine take besides.

    Raises:
        ConfigError: If an address is impossible, the variable of a key is not set, a model on this
            machine takes more memory than there is, or there is a budget for a model whose price
            is not known.
        MissingExtraError: If what calls need is not installed.
    """

    def __init__(self, config: Config, uses: Mapping[str, ModelUse], machine: Machine) -> None:
        if uses and find_spec("aiohttp") is None:
            raise MissingExtraError("calling a model", extra="llm", missing="aiohttp")
        if uses:
            _import_clients()
        self._budget = config.tenire.budget_usd
        self._uses = dict(uses)
        self._quotas: dict[str, Quota] = {}
        self._clients: dict[str, ChatClient] = {}
        self._counts: list[Callable[[], object]] = []
        self._books: Books | None = None
        self._manager: ConcurrencyManager | None = None
        self._open = AsyncExitStack()
        self.memory = self._share_out(config, machine)
        for use in self._uses.values():
            if use.local:
                continue
            settings = use.settings
            with about(config, f"quotas.{use.quota}"):
                find_key(read_address(settings.base_url, settings.api_version).host, None, settings.api_key_env)
                if self._budget is not None or use.budget_usd is not None:
                    _require_price(use)

    @asynccontextmanager
    async def opened(self, manager: ConcurrencyManager, home: Home) -> AsyncIterator[None]:
        """Share quotas, replies and money while the block runs.

        Args:
            manager: The engine.
            home: Where replies and spending are kept.
        """
        if not self._uses:
            yield
            return
        from tenire.llm.books import Books

        budgets = {name: use.budget_usd for name, use in self._uses.items() if use.budget_usd is not None}
        async with AsyncExitStack() as self._open:
            self._open.callback(self._count)  # the last thing, once all clients are closed
            self._manager = manager
            books = Books(manager, home.path, budget_usd=self._budget, budgets_usd=budgets)
            self._books = await self._open.enter_async_context(books)
            yield

    def quotas(self) -> dict[str, QuotaStatistics]:
        """Return how much of each quota is used that has been asked for by now."""
        return {name: quota.statistics() for name, quota in self._quotas.items()}

    def breakers(self) -> dict[str, str]:
        """Return the state of the breaker of each pipeline that has its client by now."""
        return {name: client.statistics().breaker for name, client in self._clients.items()}

    @property
    def lost_usd(self) -> float:
        """What was charged at the start for calls in flight when earlier programs were killed, US dollars."""
        return 0.0 if self._books is None else self._books.lost_usd

    def slots(self, name: str) -> int:
        """Return how many calls of a pipeline may be in flight now; once it has its client."""
        return self._quotas[self._uses[name].quota].slots

    async def client(self, name: str, **options: Any) -> ChatClient:
        """Return the client of a pipeline, which is closed together with the rest; within ``opened``.

        Args:
            name: The pipeline.
            options: Further arguments of ``ChatClient``.
        """
        from tenire.llm.client import ChatClient

        manager, use = self._manager, self._uses[name]
        assert manager is not None
        client = ChatClient(
            use.model,
            **({} if use.local else _remote(use)),
            quota=self._quota(use, manager),
            price=_own_prices(use),
            fallback=use.fallback,
            books=self._books,
            manager=manager,
            pipeline=name,
            memory_bytes=_MEMORY_BYTES,
            **options,
        )
        opened = await self._open.enter_async_context(client)
        self._clients[name] = opened
        return opened

    def count_at_end(self, count: Callable[[], object]) -> None:
        """Have it counted once more, when the clients are closed, what one has done: it may have asked until then."""
        self._counts.append(count)

    def _count(self) -> None:
        for count in self._counts:
            count()

    def _share_out(self, config: Config, machine: Machine) -> int:
        """Return the bytes to share out, which every model on this machine fits in."""
        local = [use.model for use in self._uses.values() if use.local]
        if not local:
            return config.tenire.memory or machine.default_memory
        from tenire.llm.local import require_room, size_up

        with about(config):
            found = dict(size_up(model) for model in local)  # those who ask the same one share it
            usual = min(machine.default_memory + sum(found.values()), machine.usable_memory)
            memory = config.tenire.memory or usual
            for weights, size in found.items():
                require_room(f"model {weights.name}", size, memory)
        return memory

    def _quota(self, use: ModelUse, manager: ConcurrencyManager) -> Quota:
        from tenire.llm.quotas import counting, make_quota

        if use.quota not in self._quotas:
            settings = use.settings
            limits = {
                "requests": settings.rpm,
                "tokens": settings.tpm,
                "input_tokens": settings.input_tpm,
                "output_tokens": settings.output_tpm,
                "max_concurrency": settings.max_concurrency,
            }
            who, dialect = (use.quota, None) if use.local else (_who(settings), _dialect(settings))
            output = counting(settings.counts_output, dialect)
            quota = make_quota(manager, use.quota, who, limits, output, settings.group)
            self._quotas[use.quota] = quota
            self._open.push_async_callback(quota.aclose)
        return self._quotas[use.quota]


def local_use(model: str) -> ModelUse:
    """Return the use of a model on this machine: it costs nothing, and takes a few calls at once."""
    free = PriceSettings(input_usd_per_mtok=0.0, output_usd_per_mtok=0.0)
    return ModelUse(
        model,
        LOCAL_QUOTA,
        QuotaSettings(base_url="http://localhost", max_concurrency=LOCAL_CALLS, price=free),
        local=True,
    )


def _import_clients() -> None:
    """Import what calls need: here, on a thread, since it takes longer than a loop may stand still."""
    for module in ("books", "client", "local.transport", "quotas", "transport"):
        import_module(f"tenire.llm.{module}")


def _remote(use: ModelUse) -> dict[str, Any]:
    settings = use.settings
    return {
        "base_url": settings.base_url,
        "api_key_env": settings.api_key_env,
        "api_version": settings.api_version,
        "dialect": settings.dialect,
    }


def _dialect(settings: QuotaSettings) -> Dialect:
    return choose_dialect(settings.dialect, read_address(settings.base_url, settings.api_version), None)


def _who(settings: QuotaSettings) -> str:
    # As ``ChatClient`` makes it, so that programs and configurations share a quota.
    address = read_address(settings.base_url, settings.api_version)
    key = find_key(address.host, None, settings.api_key_env)
    return f"{address.base} {None if key is None else key.fingerprint}"


class OwnReplies(Protocol):
    """Tells how many replies were found that the same run had made for those who found them: no saving."""

    @property
    def used(self) -> int:
        """How many so far."""
        ...


def counted(client: ChatClient, progress: PipelineProgress, own: OwnReplies | None = None) -> None:
    """Take over what a pipeline's client has counted."""
    spent = client.statistics()
    progress.calls = spent.calls
    progress.retries = spent.retries
    progress.cached_calls = spent.cached_calls - (0 if own is None else own.used)
    progress.input_tokens = spent.input_tokens
    progress.cached_tokens = spent.cached_tokens
    progress.output_tokens = spent.output_tokens
    progress.reasoning_tokens = spent.reasoning_tokens
    progress.cost_usd = spent.cost_usd
    progress.guessed_usd = spent.guessed_usd


def prices_of_use(use: ModelUse) -> dict[str, Price | None]:
    """Return what the model costs, and each that stands in for it, or ``None`` if that is not known; in order."""
    own = _own_prices(use)
    return {model: price_of(model, own) for model in (use.model, *use.fallback)}


def _own_price(use: ModelUse) -> Price | None:
    own = use.settings.price
    if own is None:
        return None
    return Price(own.input_usd_per_mtok, own.output_usd_per_mtok, own.cached_input_usd_per_mtok, own.batch_share)


def _own_prices(use: ModelUse) -> dict[str, Price] | None:
    """Return the quota's price by model: it is the model's own; a fallback of another price costs that."""
    own = _own_price(use)
    if own is None:
        return None
    return {model: own for model in (use.model, *use.fallback) if model == use.model or price_of(model) is None}


def _require_price(use: ModelUse) -> None:
    unknown = [model for model in (use.model, *use.fallback) if price_of(model) is None]
    if unknown and _own_price(use) is None:
        key = f"quotas.{use.quota}.price"
        message = f"there is a budget_usd, but what {unknown[0]!r} costs is not known"
        raise ConfigError(message, key=key, hint=f"add a table [{key}]: input_usd_per_mtok, output_usd_per_mtok")

"""What a run would ask of models and cost at the most, before it is started; writes and sends nothing.

It errs high: tokens are guessed where the model's tokeniser is not at hand, replies are taken
to be as long as they may be, and each to come from the dearest of the models that may answer.
What the home has a reply to already costs nothing, and a batch what batches cost; where a run
is free to ask at once, its price is taken. How many tokens the passages of documents have,
nobody knows before they are read: pipelines that embed on a server are named, and not
estimated.

A budget has to hold more than that: while a call is under way, what is set aside for it is a quarter
more for its prompt (``llm.guesses``). It comes back with the reply, so of calls that are made one by one
only the last ones lack it; a batch holds it for all of its lines together.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from tenire.app.chat_runs import plan_chat
from tenire.app.config import check_runnable
from tenire.app.config_schema import ChatPipeline, ClassifyPipeline, DocumentsPipeline
from tenire.app.model_calls import prices_of_use
from tenire.app.place import recorded_embedder
from tenire.app.remote_embedder import is_remote
from tenire.clock import SYSTEM_CLOCK
from tenire.llm.addresses import read_address
from tenire.llm.guesses import most_cost, most_held
from tenire.llm.money import to_usd
from tenire.llm.prices import AS_OF, price_of
from tenire.llm.requests import make_request, request_key
from tenire.llm.tokenisers import load_tokenisers
from tenire.llm.tokens import TokenCounter
from tenire.llm.ways import service_of
from tenire.pipeline.rows.lister import CHUNK, Standing, standing_of
from tenire.pipeline.rows.recipe import RowError
from tenire.pipeline.rows.records import Row
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenire.app.chat_runs import ChatPlan
    from tenire.app.config import Config
    from tenire.app.model_calls import ModelUse
    from tenire.llm.chat_recipe import ChatRecipe
    from tenire.llm.records import ChatRequest
    from tenire.pipeline.rows.records import BrokenRow
    from tenire.storage.rows import KnownRow

__all__ = ["Estimate", "EstimateReport", "estimate"]


@dataclass(slots=True)
class Estimate:
    """What one pipeline would do.

    Attributes:
        seen: Rows of its source.
        calls: Rows that it would ask the model for.
        kept: Rows to which the home has a reply already.
        unchanged: Rows that are done.
        quarantined: Rows that cannot be asked, or could not lately.
        input_tokens: Of the prompts, about.
        output_tokens: Of the replies, at the most.
        cost_usd: US dollars at the most, whichever of its models answers, or ``None`` if the price of one is not known.
        aside_usd: US dollars that a budget has to hold beside that, or ``None``: set aside, and not spent.
        budget_usd: What the pipeline itself may spend, or ``None``; what the home may spend holds besides.
        spent_usd: What it has spent so far, with what may be paid for of calls that were in flight when it was killed.
    """

    seen: int = 0
    calls: int = 0
    kept: int = 0
    unchanged: int = 0
    quarantined: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    aside_usd: float | None = None
    budget_usd: float | None = None
    spent_usd: float = 0.0

    @property
    def needed_usd(self) -> float | None:
        """The budget of its own that it takes, US dollars; ``None`` where ``cost_usd`` is."""
        return None if self.cost_usd is None else self.spent_usd + self.cost_usd + (self.aside_usd or 0.0)


@dataclass(frozen=True, slots=True)
class EstimateReport:
    """What a run would do.

    Attributes:
        pipelines: Those that ask models about rows, by name.
        budget_usd: What may be spent in the home in all, or ``None``.
        spent_usd: What was spent in it so far, with that too.
        listed: Models whose price is the built-in one, sorted.
        not_estimated: The embedders on a server that other pipelines call, by the pipeline's name.
    """

    pipelines: dict[str, Estimate]
    budget_usd: float | None
    spent_usd: float
    listed: tuple[str, ...] = ()
    not_estimated: dict[str, str] = field(default_factory=dict)

    @property
    def cost_usd(self) -> float | None:
        """What all of them could cost, US dollars; ``None`` if a price is not known, or one is not estimated."""
        if self.not_estimated:
            return None
        costs = [each.cost_usd for each in self.pipelines.values()]
        return None if None in costs else sum(cost for cost in costs if cost is not None)

    @property
    def needed_usd(self) -> float | None:
        """The budget that it takes, US dollars: with a smaller one the last calls can be refused.

        ``None`` where ``cost_usd`` is.
        """
        if self.cost_usd is None:
            return None
        # What the others have set aside is back by the time that the last one lacks it.
        aside = max((each.aside_usd or 0.0 for each in self.pipelines.values()), default=0.0)
        return self.spent_usd + self.cost_usd + aside

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``tenire run --estimate --json`` prints."""
        return {
            "estimate": {
                name: {**asdict(each), "needed_usd": each.needed_usd} for name, each in self.pipelines.items()
            },
            "not_estimated": self.not_estimated,
            "cost_usd": self.cost_usd,
            "needed_usd": self.needed_usd,
            "budget_usd": self.budget_usd,
            "spent_usd": self.spent_usd,
            "built_in_prices": {"as_of": AS_OF.isoformat(), "models": list(self.listed)},
        }


def estimate(config: Config, only: Sequence[str] = ()) -> EstimateReport:
    """Return what the chat pipelines of a configuration would do; reads their sources. Names who else calls models.

    Args:
        config: A checked configuration.
        only: Names of the pipelines that would run; empty for all.

    Raises:
        ConfigError: If they cannot run.
        StoreError: If the home cannot be read.
    """
    names = check_runnable(config, only)
    plans = {name: plan_chat(config, name, names) for name in names if isinstance(config.pipelines[name], ChatPipeline)}
    listed = tuple(sorted({model for plan in plans.values() for model in _listed(plan.use)}))
    home, budget = Home(config.tenire.home), config.tenire.budget_usd
    others = _embedders(config, names, home)
    if not Ledger.exists(home):
        found = {name: _estimate(name, plan, None) for name, plan in plans.items()}
        return EstimateReport(found, budget, 0.0, listed, others)
    with Ledger.read(home) as ledger:
        found = {name: _estimate(name, plan, ledger) for name, plan in plans.items()}
        spent = _spent(ledger)
        for name, each in found.items():
            each.spent_usd = to_usd(spent.get(name, 0))
        return EstimateReport(found, budget, to_usd(sum(spent.values())), listed, others)


def _spent(ledger: Ledger) -> dict[str, int]:
    """Return what the run would find spent, picodollars by pipeline."""
    # The run begins with charging what killed programs had in flight. What another program charges
    # meanwhile counts twice in this order, and not at all in the other one.
    spent = ledger.spending.lost_by_pipeline()
    for name, each in ledger.spending.by_pipeline().items():
        spent[name] = spent.get(name, 0) + each.cost
    return spent


def _embedders(config: Config, names: Sequence[str], home: Home) -> dict[str, str]:
    """Return the embedders on servers that pipelines call, by the pipeline's name."""
    pipelines = {name: config.pipelines[name] for name in names}
    documents = {name: each.embedder for name, each in pipelines.items() if isinstance(each, DocumentsPipeline)}
    if documents:  # a home has one for all of them
        one = next((each for each in documents.values() if each != "auto"), None) or recorded_embedder(home) or "auto"
        documents = dict.fromkeys(documents, one)
    labelling = {
        name: each.embedder
        for name, each in pipelines.items()
        if isinstance(each, ClassifyPipeline) and each.features == "embedding"
    }
    return {name: each for name, each in {**documents, **labelling}.items() if is_remote(each)}


def _listed(use: ModelUse) -> list[str]:
    """Return the models whose price is the built-in one."""
    asked = use.fallback if use.local or use.settings.price is not None else (use.model, *use.fallback)
    return [model for model in asked if price_of(model) is not None]


def _estimate(name: str, plan: ChatPlan, ledger: Ledger | None) -> Estimate:
    recipe = plan.recipe(None)
    prices = prices_of_use(plan.use)
    counter = TokenCounter(load_tokenisers(tuple(prices)))
    told, cost, aside = Estimate(budget_usd=plan.use.budget_usd), 0, 0
    together = sum if plan.settings.mode != "realtime" else max
    own = prices[plan.use.model]
    if own is not None and plan.settings.mode == "batch":
        prices[plan.use.model] = own.in_batch()
    rows = plan.source.rows()
    while chunk := list(islice(rows, CHUNK)):
        known = {} if ledger is None else ledger.rows.known(name, [row.key for row in chunk])
        told.seen += len(chunk)
        asked = [_to_ask(row, known.get(row.key), recipe, told) for row in chunk]
        requests = [_request(plan, messages) for messages in asked if messages is not None]
        kept = _kept(plan, requests, ledger)
        for request, is_kept in zip(requests, kept, strict=True):
            if is_kept:
                told.kept += 1
                continue
            needed = [counter.estimate(replace(request, model=model)) for model in prices]
            told.calls += 1
            told.input_tokens += needed[0].input_tokens
            told.output_tokens += needed[0].most_output
            most = most_cost(needed, list(prices.values())) or 0
            cost += most
            aside = together((aside, most_held(needed, list(prices.values())) - most))
    if None not in prices.values():
        told.cost_usd, told.aside_usd = to_usd(cost), to_usd(aside)
    return told


def _request(plan: ChatPlan, messages: Any) -> ChatRequest:
    """Return the request that a run would make."""
    settings = plan.settings
    return make_request(
        settings.model,
        messages,
        max_output_tokens=settings.max_output_tokens,
        schema=plan.schema,
        parameters=plan.parameters,
    )


def _kept(plan: ChatPlan, requests: Sequence[ChatRequest], ledger: Ledger | None) -> list[bool]:
    """Say of each request whether the home has a fresh reply to it: in place of another one a new one is paid for."""
    settings = plan.settings
    if ledger is None or not settings.cache:
        return [False] * len(requests)
    server = plan.use.settings
    service = service_of(read_address(server.base_url, server.api_version).base)
    keys = [request_key(service, request) for request in requests]
    found = ledger.replies.find(keys)
    oldest = 0.0 if settings.ttl_s is None else SYSTEM_CLOCK.wall() - settings.ttl_s
    return [key in found and found[key].made_at >= oldest for key in keys]


def _to_ask(row: Row | BrokenRow, before: KnownRow | None, recipe: ChatRecipe, told: Estimate) -> Any:
    """Return the prompt of a row that would be asked for; count it if it would not, and return ``None``."""
    if not isinstance(row, Row):
        told.quarantined += 1
        return None
    try:
        standing = standing_of(row, recipe.request(row), before, recipe)
    except RowError:
        standing = Standing.QUARANTINED
    if standing is Standing.WORK:
        return recipe.messages(row.fields)
    told.unchanged += standing is Standing.UNCHANGED
    told.quarantined += standing is Standing.QUARANTINED
    return None

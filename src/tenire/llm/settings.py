"""What a client was asked to be, checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tenire.concurrency.submit import priority_of
from tenire.core.tasks import Priority, Retry
from tenire.errors import ConfigError
from tenire.llm.endpoint import RETRY, Manner
from tenire.llm.money import Price
from tenire.llm.requests import check_output_tokens, require_parameters
from tenire.resilience.options import seconds_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenire.core.hedging import Hedging

__all__ = ["ClientSettings"]

MEMORY_BYTES = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """How a client makes its calls.

    Attributes:
        model: The model's name at the provider.
        timeout: Seconds for one try.
        retry: When to try again: a ``Retry``, or a number of tries in all.
        hedge: Whether slow calls are sent a second time.
        cache: Whether replies are kept, and given again.
        ttl: Seconds for which a kept reply is fresh; ``None`` for ever.
        stale: Seconds for which it is given after that, while a new one is fetched.
        priority: Of calls that do not say.
        pipeline: Whose share and whose money calls take that do not say.
        price: Of the model, or of several by name; ``None`` for those that are built in.
        max_output_tokens: Of calls that do not say.
        parameters: Sent with every call, for example ``temperature``.
        memory_bytes: That replies may take in memory.
        usual: How calls are made that say nothing.

    Raises:
        ConfigError: If one is impossible; names it.
    """

    model: str
    timeout: float = 120.0
    retry: Retry | int = RETRY
    hedge: Hedging | bool = False
    cache: bool = True
    ttl: float | None = None
    stale: float = 0.0
    priority: Priority | str = Priority.NORMAL
    pipeline: str = "default"
    price: Price | Mapping[str, Price] | None = None
    max_output_tokens: int | None = None
    parameters: Mapping[str, Any] | None = None
    memory_bytes: int = MEMORY_BYTES
    usual: Manner = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("model", "pipeline"):
            _name(name, getattr(self, name))
        _seconds("timeout", self.timeout, least=1e-3)
        _seconds("stale", self.stale, least=0.0)
        if self.ttl is not None:
            _seconds("ttl", self.ttl, least=0.0)
        elif self.stale:
            message = f"stale goes with ttl, without which no kept reply grows stale, got stale={self.stale:g} alone"
            raise ConfigError(message, key="stale", hint="say in ttl for how many seconds a reply is fresh")
        _yes_or_no("cache", self.cache)
        memory = self.memory_bytes
        if isinstance(memory, bool) or not isinstance(memory, int) or memory < 1:
            raise ConfigError(
                f"memory_bytes must be a whole number of bytes from 1, got {memory!r}", key="memory_bytes"
            )
        object.__setattr__(self, "priority", priority_of(self.priority))
        check_output_tokens(self.max_output_tokens)
        require_parameters(self.parameters)
        price = self.price
        prices = (price,) if price is None or isinstance(price, Price) else tuple(getattr(price, "values", list)())
        if price is not None and not (prices and all(isinstance(one, Price) for one in prices)):
            raise ConfigError(f"price must be a tenire.llm.Price, or several by model, got {price!r}", key="price")
        object.__setattr__(self, "usual", Manner(self.priority, self.pipeline, None, self.cache))

    def manner(
        self, priority: Priority | str | None, pipeline: str | None, deadline: float | None, cache: bool | None
    ) -> Manner:
        """Return how a call is made; what it does not say is as for all calls.

        Raises:
            ConfigError: If something is impossible; names it.
        """
        if priority is None and pipeline is None and deadline is None and cache is None:
            return self.usual
        if pipeline is not None:
            _name("pipeline", pipeline)
        if cache is not None:
            _yes_or_no("cache", cache)
        return Manner(
            self.priority if priority is None else priority_of(priority),
            self.pipeline if pipeline is None else pipeline,
            seconds_of("deadline", deadline),
            self.cache if cache is None else cache,
        )


def _name(name: str, value: str) -> None:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{name} must be a name, got {value!r}", key=name)


def _yes_or_no(name: str, value: bool) -> None:
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be True or False, got {value!r}", key=name)


def _seconds(name: str, value: float, *, least: float) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not least <= value < float("inf"):
        raise ConfigError(f"{name} must be {least:g} or more seconds, got {value!r}", key=name)

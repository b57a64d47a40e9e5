"""What a guard was asked for, checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenire.core.breaker import CircuitBreaker
from tenire.core.hedging import Hedging
from tenire.core.retry_budget import RetryBudget
from tenire.core.tasks import Retry
from tenire.errors import ConfigError

if TYPE_CHECKING:
    import random

__all__ = ["breaker_of", "budget_of", "check_functions", "hedging_of", "retry_of", "seconds_of"]


def retry_of(retry: Retry | int | None) -> Retry:
    """Return how often to try; ``None`` is once."""
    if isinstance(retry, Retry):
        return retry
    if retry is None:
        return Retry(attempts=1)
    if isinstance(retry, bool) or not isinstance(retry, int):
        message = f"retry must be a tenire.Retry, or a number of tries in all, got {retry!r}"
        raise ConfigError(message, key="retry")
    return Retry(attempts=retry)


def budget_of(budget: RetryBudget | bool, retry: Retry) -> RetryBudget | None:
    """Return what pays for retries; none where there are none."""
    if isinstance(budget, RetryBudget):
        return budget
    if not isinstance(budget, bool):
        message = f"budget must be a RetryBudget, True or False, got {budget!r}"
        raise ConfigError(message, key="budget")
    return RetryBudget() if budget and retry.attempts > 1 else None


def breaker_of(breaker: CircuitBreaker | bool, rng: random.Random) -> CircuitBreaker | None:
    """Return the breaker."""
    if isinstance(breaker, CircuitBreaker):
        return breaker
    if not isinstance(breaker, bool):
        message = f"breaker must be a CircuitBreaker, True or False, got {breaker!r}"
        raise ConfigError(message, key="breaker")
    return CircuitBreaker(rng=rng) if breaker else None


def hedging_of(hedge: Hedging | bool, *, idempotent: bool) -> Hedging | None:
    """Return what decides about second copies.

    Raises:
        ConfigError: If the caller did not say that the call may be made twice.
    """
    if not isinstance(hedge, (Hedging, bool)):
        message = f"hedge must be a Hedging, True or False, got {hedge!r}"
        raise ConfigError(message, key="hedge")
    if hedge is False:
        return None
    if not idempotent:
        message = "hedge sends some calls twice, and this guard was not told that it may"
        raise ConfigError(message, key="hedge", hint="if a second call does no harm, say idempotent=True")
    return Hedging() if hedge is True else hedge


def seconds_of(name: str, seconds: float | None) -> float | None:
    """Return a duration, or ``None``."""
    number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if seconds is None or (number and 0 < seconds < float("inf")):
        return seconds
    message = f"{name} must be a positive number of seconds, or None, got {seconds!r}"
    raise ConfigError(message, key=name)


def check_functions(*, cache: Any, **functions: Any) -> None:
    """Check what is called only later, perhaps when all else has failed.

    Args:
        cache: What keeps results, or ``None``.
        functions: The others by their names, each a function or ``None``.

    Raises:
        ConfigError: If one cannot be called.
    """
    for name, function in functions.items():
        if function is not None and not callable(function):
            message = f"{name} must be a function, or None, got {function!r}"
            raise ConfigError(message, key=name)
    if cache is not None and not (callable(getattr(cache, "get", None)) and callable(getattr(cache, "put", None))):
        message = f"cache must have the coroutine methods get(key) and put(key, value), got {cache!r}"
        raise ConfigError(message, key="cache", hint="for example MemoryCache(1000, ttl=600)")

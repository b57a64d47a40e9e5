"""What the worker process of a model does: load it once, and ask it about a batch at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenire.concurrency.pools.background import limit_threads
from tenire.errors import ModelFileError, PredictionError, TenireError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["ask", "load"]

_loaded: dict[str, Any] = {}
"""What to ask of the model of this process, by its name: there is one."""

_on_gpu: dict[str, bool] = {}

_limits: list[Any] = []


def load(name: str, factory: Callable[[], Any], threads: int) -> bool:
    """Load a model, if that was not done; return whether it computes on a GPU.

    Args:
        name: Its name, for errors.
        factory: Returns an object with ``predict``, or a function of a list.
        threads: Threads that numerical libraries may use for it.

    Raises:
        ModelFileError: If it cannot be loaded, or what is loaded cannot be asked.
    """
    if name in _loaded:
        return _on_gpu[name]
    limit_threads(threads)  # libraries that are loaded from now on look at it
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        pass
    else:
        _limits.append(threadpool_limits(threads))
    try:
        model = factory()
    except (TenireError, MemoryError):
        raise
    except Exception as error:
        message = f"the model {name} cannot be loaded: {type(error).__name__}: {error}"
        raise ModelFileError(message, model=name) from error
    predict = getattr(model, "predict", model)
    if not callable(predict):
        message = f"a model is an object with predict, or a function; {name} is a {type(model).__name__}"
        raise ModelFileError(message, model=name)
    _loaded[name] = predict
    _on_gpu[name] = bool(getattr(model, "on_gpu", False))
    return _on_gpu[name]


def ask(name: str, factory: Callable[[], Any], threads: int, items: Sequence[Any]) -> list[Any]:
    """Return the model's results for a batch; loads it where a worker was replaced.

    Raises:
        PredictionError: If there is not one result for each item, or one is no number, or holds such a one.
        Exception: What the model raised.
    """
    load(name, factory, threads)
    results = _loaded[name](list(items))
    try:
        found = list(results)
    except TypeError as error:
        message = f"the model {name} must return a result for each item, got {type(results).__name__}"
        raise PredictionError(message, model=name) from error
    if len(found) != len(items):
        message = f"the model {name} must return a result for each of {len(items)} items, got {len(found)}"
        raise PredictionError(message, model=name)
    for result in found:
        if not _is_sound(result):
            message = f"the model {name} gave a result that is no number (NaN)"
            raise PredictionError(message, model=name, hint="look at what it was given, and at how it was trained")
    return found


def _is_sound(result: Any) -> bool:
    if isinstance(result, float | complex):
        return result == result  # only NaN is not what it is
    if isinstance(result, list | tuple):
        return all(map(_is_sound, result))
    if isinstance(result, dict):
        return all(map(_is_sound, result.values()))
    kind = getattr(getattr(result, "dtype", None), "kind", "O")
    return kind not in "fc" or not bool((result != result).any())

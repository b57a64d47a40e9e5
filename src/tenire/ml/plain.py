"""A model of the home whose results are what JSON can hold, so that a pipeline can write them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tenire.errors import ModelFileError, PredictionError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tenire.ml.models import KeptModel

__all__ = ["PlainModel", "plain"]


@dataclass(frozen=True, slots=True)
class PlainModel:
    """A factory for a pool.

    Attributes:
        kept: Loads the model.
    """

    kept: KeptModel

    def gpu_wanted(self) -> int:
        """See ``KeptModel``."""
        return self.kept.gpu_wanted()

    def on_gpu(self, memory: int) -> PlainModel:
        """See ``KeptModel``."""
        return replace(self, kept=self.kept.on_gpu(memory))

    def __call__(self) -> _Plainly:
        """Load it, in the process that uses it.

        Raises:
            ModelFileError: As ``KeptModel``, or if what is loaded cannot be asked.
        """
        model, name = self.kept(), self.kept.name
        predict: Callable[[list[Any]], Sequence[Any]] = getattr(model, "predict", model)
        if not callable(predict):
            message = f"a model is an object with predict, or a function; {name} is a {type(model).__name__}"
            raise ModelFileError(message, model=name)
        return _Plainly(predict, name, bool(getattr(model, "on_gpu", False)))


@dataclass(frozen=True, slots=True)
class _Plainly:
    """A model that was loaded."""

    ask: Callable[[list[Any]], Sequence[Any]]
    name: str
    on_gpu: bool

    def predict(self, items: list[Any]) -> list[Any]:
        return [plain(result, self.name) for result in self.ask(items)]


def plain(value: Any, model: str) -> Any:
    """Return a result as what JSON can hold: arrays become lists, numbers of numpy those of Python.

    Args:
        value: The result.
        model: The model, for errors.

    Raises:
        PredictionError: If it is, or holds, a number that is none, or something of another type.

    >>> plain((1, {"a": None}), "scorer")
    [1, {'a': None}]
    """
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        value = value.tolist()
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        message = f"the model {model} gave a result that is no number (NaN or infinite)"
        raise PredictionError(message, model=model, hint="look at what it was given, and at how it was trained")
    if isinstance(value, list | tuple):
        return [plain(inner, model) for inner in value]
    if isinstance(value, dict):
        return {str(name): plain(inner, model) for name, inner in value.items()}
    message = f"the model {model} must give numbers, texts, arrays, lists or dicts, got {type(value).__name__}"
    raise PredictionError(message, model=model, hint="ask it from Python, by a ModelPool")

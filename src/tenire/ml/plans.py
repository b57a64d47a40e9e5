"""What a training is told, and what it tells: plain records, so that an engine needs no numpy to hold them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Finished", "Slice", "TrainingPlan"]


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What is trained.

    Attributes:
        classes: Number of classes.
        epochs: Most passes over the rows until it is known when to stop.
        balanced: Whether classes count the same, however many rows they have.
    """

    classes: int
    epochs: int = 200
    balanced: bool = True


@dataclass(frozen=True, slots=True)
class Slice:
    """What a slice of training has come to.

    Attributes:
        epoch: Passes that are through.
        loss: After the last of them, on rows that training does not see, or on its own rows
            where there are none such.
        accuracy: The same.
        over: Whether training is over.
    """

    epoch: int
    loss: float
    accuracy: float
    over: bool


@dataclass(frozen=True, slots=True)
class Finished:
    """What a training is kept as.

    Attributes:
        home: Directory of the home.
        name: The model.
        version: Its version.
        classes: The labels, in the order of their numbers.
        lineage: What it was made from.
        settings: What it needs to be asked.
    """

    home: str
    name: str
    version: str
    classes: list[Any]
    lineage: Mapping[str, Any]
    settings: Mapping[str, Any]

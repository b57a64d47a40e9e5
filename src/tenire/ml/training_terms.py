"""What decides what a model becomes, besides its rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tenire.pipeline.stages.records import hash_of

if TYPE_CHECKING:
    from tenire.ml.labelled import Survey

__all__ = ["TrainingTerms"]

_FORMAT = 2


@dataclass(frozen=True, slots=True)
class TrainingTerms:
    """What decides what a model becomes, besides its rows.

    Attributes:
        features: ``embedding``, ``tfidf`` or ``hashing``.
        embedder: Name of the embedder, or an empty string where words are counted.
        identity: What it is: model, variant and version.
        seed: Decides which rows say when to stop.
        epochs: Most passes over the rows until it is known when to stop.
        balanced: Whether classes count the same.
    """

    features: str
    embedder: str
    identity: str
    seed: int
    epochs: int
    balanced: bool

    def version(self, survey: Survey) -> str:
        """Return the name of the version that comes of rows."""
        parts = (self.features, self.identity, str(self.seed), str(self.epochs), str(self.balanced), survey.digest)
        return hash_of(str(_FORMAT), *parts)

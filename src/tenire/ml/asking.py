"""Asks a classifier of a home about texts: in the process where its embedder is loaded, so that only labels travel."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tenire.errors import ModelFileError, PredictionError
from tenire.ml.classifier import LinearClassifier
from tenire.ml.registry import ModelRegistry
from tenire.ml.words import WORD_FILES, WordRows

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["answer_texts", "answer_vectors", "loaded_words"]

_LOADED = 8
"""Classifiers that a process keeps: each is a few MB at the most."""


@lru_cache(maxsize=_LOADED)
def _loaded(home: str, name: str, version: str) -> tuple[LinearClassifier, WordRows | None]:
    found = ModelRegistry(home).open(name, version)
    manifest = found.manifest
    if manifest.kind != "classifier":
        message = f"the model {found.label} is no classifier, got the kind {manifest.kind!r}"
        raise ModelFileError(message, model=name, hint='a pipeline with recipe = "classify" makes one')
    head = LinearClassifier.load(found)
    features = manifest.settings.get("features")
    if features == "embedding":
        return head, None
    files = {file: found.read(file) for file in WORD_FILES} if features == "tfidf" else None
    words = WordRows(files, found.label)
    if words.dimension != head.dimension:
        message = f"the model {found.label} does not fit its vocabulary: {head.dimension:,} against {words.dimension:,}"
        raise ModelFileError(message, model=name, hint="train it again")
    return head, words


def loaded_words(home: str, name: str, version: str) -> Callable[[list[Any]], list[tuple[Any, float]]]:
    """Return a function of texts, or of vectors where the model looks at an embedder's, that returns labels and scores.

    Raises:
        ModelFileError: If the model cannot be used.
    """
    head, words = _loaded(home, name, version)
    if words is not None:
        return lambda texts: _answers(head, words.rows(texts))
    return lambda vectors: _answers(head, np.asarray(vectors, np.float64))


def answer_texts(
    home: str, name: str, version: str, embed: Callable[[list[str]], Any] | None, texts: list[str]
) -> list[tuple[Any, float]]:
    """Return label and score for each text.

    Args:
        home: Directory of the home.
        name: The model.
        version: Its version.
        embed: Embeds texts; ``None`` for a model that looks at words.
        texts: The texts.

    Raises:
        ModelFileError: If the model cannot be used.
        PredictionError: If the texts' vectors do not fit it.
    """
    head, words = _loaded(home, name, version)
    if words is not None:
        return _answers(head, words.rows(texts))
    assert embed is not None
    return _answers(head, embed(texts))


def answer_vectors(home: str, name: str, version: str, vectors: Any) -> list[tuple[Any, float]]:
    """Return label and score for each vector, as ``answer_texts``."""
    return _answers(_loaded(home, name, version)[0], vectors)


def _answers(head: LinearClassifier, inputs: Any) -> list[tuple[Any, float]]:
    places, scores = head.predict(inputs)
    if not np.isfinite(scores).all():
        message = f"the model {head.name} gave scores that are no numbers"
        raise PredictionError(message, model=head.name, hint="train it again, and look at its training data")
    return [(head.classes[place], round(float(score), 6)) for place, score in zip(places, scores, strict=True)]

"""What stages learn before they are used: a vocabulary, or where numbers lie. It is kept as a model of the home.

Methods block, and hold one batch at a time.
"""

from __future__ import annotations

import io
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from tenire.errors import ConfigError, PredictionError
from tenire.ml.registry import ModelRegistry
from tenire.ml.tokenizing import BYTES, TOKENIZER_FILE, learn_tokenizer
from tenire.ml.words import add_words, count_words, vocabulary_of

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Sequence

    from tenire.ml.registry import ModelVersion

__all__ = ["SCALE", "TOKENS", "WORDS", "fit_scale", "fit_tokens", "fit_words"]

WORDS, SCALE, TOKENS = "words", "scale", "tokens"
"""What the setting ``learnt`` of such a model says."""

_BATCH = 1024


def fit_words(home: str | os.PathLike[str], name: str, texts: Iterable[str]) -> ModelVersion:
    """Learn a vocabulary, and how rare its words are, for the stage ``Words``.

    Args:
        home: Directory of the home.
        name: What it is to be called there.
        texts: Texts like those that the stage is going to see.

    Returns:
        The version, which is the current one now.

    Raises:
        PredictionError: If there is no word in them.
        ModelFileError: If it cannot be kept.
    """
    seen = 0
    counts: Counter[str] = Counter()
    for batch in _batches(texts):
        seen += len(batch)
        counts = add_words(counts, count_words(batch))
    if not counts:
        message = f"expected texts with words to learn {name} from, got {seen:,} texts without any"
        raise PredictionError(message, model=name, hint="a word has two letters or digits at least")
    files = vocabulary_of([counts], seen)
    registry = ModelRegistry(home)
    return registry.save(name, files, kind="arrays", metrics={"texts": seen}, settings={"learnt": WORDS})


def fit_tokens(home: str | os.PathLike[str], name: str, texts: Iterable[str], *, size: int = 8000) -> ModelVersion:
    """Learn a tokenizer, for the stage ``Tokens``: what is frequent becomes one token, down to single bytes.

    Args:
        home: Directory of the home.
        name: What it is to be called there.
        texts: Texts like those that the stage is going to see.
        size: Tokens that it is to know at the most, at least 256.

    Returns:
        The version, which is the current one now.

    Raises:
        ConfigError: If it is to know fewer.
        MissingExtraError: If there is nothing to learn it with.
        ModelFileError: If it cannot be kept.
    """
    if size < BYTES:
        message = f"a tokenizer knows {BYTES} tokens at least, one for each byte, got size={size!r}"
        raise ConfigError(message, key="size")
    files = {TOKENIZER_FILE: learn_tokenizer(texts, size)}
    return ModelRegistry(home).save(name, files, kind="arrays", settings={"learnt": TOKENS})


def fit_scale(home: str | os.PathLike[str], name: str, rows: Iterable[Sequence[float]]) -> ModelVersion:
    """Learn the mean and the standard deviation of each column, for the stage ``Scale``.

    Args:
        home: Directory of the home.
        name: What it is to be called there.
        rows: Lists of numbers, all of one length.

    Returns:
        The version, which is the current one now.

    Raises:
        PredictionError: If there are none, or they are of different lengths, or no numbers.
        ModelFileError: If it cannot be kept.
    """
    seen = 0
    mean: Any = None
    squares: Any = 0.0
    for batch in _batches(rows):
        numbers = _numbers(name, batch, None if mean is None else len(mean))
        # Chan, Golub and LeVeque, *Updating formulae and a pairwise algorithm* (1979): no large sums are subtracted.
        count, own = len(numbers), numbers.mean(0)
        shift = own - (0.0 if mean is None else mean)
        squares = squares + ((numbers - own) ** 2).sum(0) + shift**2 * (seen * count / (seen + count))
        mean = own if mean is None else mean + shift * (count / (seen + count))
        seen += count
    if mean is None:
        message = f"expected rows of numbers to learn {name} from, got none"
        raise PredictionError(message, model=name)
    buffer = io.BytesIO()
    np.savez(buffer, mean=mean, deviation=np.sqrt(squares / seen))
    files = {"scale.npz": buffer.getvalue()}
    return ModelRegistry(home).save(name, files, kind="arrays", metrics={"rows": seen}, settings={"learnt": SCALE})


def _batches(values: Iterable[Any]) -> Iterator[list[Any]]:
    iterator = iter(values)
    while batch := list(islice(iterator, _BATCH)):
        yield batch


def _numbers(name: str, batch: list[Sequence[float]], length: int | None) -> Any:
    numbers: Any
    try:
        numbers = np.asarray(batch, np.float64)
    except (TypeError, ValueError):
        numbers = np.zeros(0)
    if numbers.ndim != 2 or length not in (None, numbers.shape[1]) or not np.isfinite(numbers).all():
        of = "of one length" if length is None else f"of {length} numbers each"
        message = f"expected rows {of} to learn {name} from, got others, or something that is no number"
        raise PredictionError(message, model=name, hint="look at the rows for gaps, texts and NaN")
    return numbers

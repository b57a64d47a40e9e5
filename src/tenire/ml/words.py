"""Texts as counts of their words, where no embedder is wanted: hashed, or with the vocabulary of the training.

::

    tfidf      words ──► counts ──► × how rare a word is ──► rows of unit length
    hashing    words ──► hash ──► counts ──► rows of unit length            (nothing to learn)

What was learnt, the vocabulary and how rare its words are, is kept with the model, and is
what texts go through when it is asked.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tenire.errors import ModelFileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["COLUMNS", "WORD_FILES", "WordRows", "add_words", "count_words", "make_part", "vocabulary_of"]

COLUMNS = 1 << 16
"""Places of hashed words."""

MOST_WORDS = 50_000
"""Words of a vocabulary: those that most texts have."""

WORD_FILES = ("vocabulary.json", "rarity.npz")
_TOO_MANY = 1_000_000


def count_words(texts: Sequence[str]) -> dict[str, int]:
    """Return in how many of these texts each word stands; runs in a worker process."""
    from sklearn.feature_extraction.text import CountVectorizer

    words = CountVectorizer().build_analyzer()
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(set(words(text)))
    return dict(counts)


def add_words(counts: Counter[str], part: Mapping[str, int]) -> Counter[str]:
    """Return counts with those of some more texts, and without what is seldom where they become too many."""
    counts.update(part)
    if len(counts) > _TOO_MANY:  # what is seldom is not going to be among the most frequent ones
        return Counter({word: count for word, count in counts.items() if count > 1})
    return counts


def vocabulary_of(parts: Iterable[Mapping[str, int]], texts: int) -> dict[str, bytes]:
    """Return the files of a vocabulary.

    Args:
        parts: In how many texts each word stands, for some texts each.
        texts: How many texts these were.
    """
    counts: Counter[str] = Counter()
    for part in parts:
        counts = add_words(counts, part)
    words = sorted(sorted(counts), key=counts.__getitem__, reverse=True)[:MOST_WORDS]
    rarity = np.array([math.log((1 + texts) / (1 + counts[word])) + 1 for word in words])
    buffer = io.BytesIO()
    np.savez(buffer, rarity=rarity)
    return {"vocabulary.json": json.dumps(words).encode(), "rarity.npz": buffer.getvalue()}


class WordRows:
    """Makes sparse rows of texts.

    Args:
        files: Those of a vocabulary; ``None``: words are hashed.
        name: Of the model, for errors.

    Attributes:
        dimension: Columns of a row.
        names: The word of each column; empty where words are hashed.

    Raises:
        ModelFileError: If the files do not fit each other.
    """

    def __init__(self, files: Mapping[str, bytes] | None, name: str) -> None:
        from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer

        self._rarity: Any = None
        self.names: list[str] = []
        if files is None:
            self._vectorizer: Any = HashingVectorizer(n_features=COLUMNS, alternate_sign=False, norm=None)
            self.dimension = COLUMNS
            return
        try:
            words: list[str] = json.loads(files["vocabulary.json"])
            with np.load(io.BytesIO(files["rarity.npz"]), allow_pickle=False) as kept:
                self._rarity = kept["rarity"]
        except (KeyError, ValueError, zipfile.BadZipFile) as error:
            message = f"the vocabulary of the model {name} cannot be read: {error}"
            raise ModelFileError(message, model=name, hint="train it again") from error
        if len(words) != len(self._rarity) or len(set(words)) != len(words):
            message = (
                f"the vocabulary of the model {name} does not fit: {len(set(words)):,} different words,"
                f" and numbers for {len(self._rarity):,}"
            )
            raise ModelFileError(message, model=name, hint="train it again")
        self.names = words
        self.dimension = len(words)
        self._vectorizer = CountVectorizer(vocabulary={word: place for place, word in enumerate(words)})

    def rows(self, texts: Sequence[str]) -> Any:
        """Return a sparse array of shape ``(len(texts), dimension)``, rows of unit length or empty."""
        from scipy.sparse import diags
        from sklearn.preprocessing import normalize

        counts = self._vectorizer.transform(texts).astype(np.float64)
        if self._rarity is not None:
            counts = counts @ diags(self._rarity)
        return normalize(counts).tocsr()


@lru_cache(maxsize=2)
def _kept(folder: str, hashed: bool) -> WordRows:
    if hashed:
        return WordRows(None, "training")
    return WordRows({file: (Path(folder) / file).read_bytes() for file in WORD_FILES}, "training")


def make_part(folder: str, texts: Sequence[str], *, hashed: bool) -> Any:
    """Return rows of texts of a training whose vocabulary lies in its folder; runs in a worker process."""
    return _kept(folder, hashed).rows(texts)

"""The fast embedder: the mean of one fixed vector per token, 256 dimensions.

The vectors come from the package ``wordllama``; its own loader is not used, for it
asks the network for a tokenizer that lies beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tenire.errors import MissingExtraError
from tenire.observe.heap import keep_heap_small
from tenire.vectors.text_input import readable
from tenire.vectors.weights import find_static, is_installed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["DIMENSION", "IDENTITY", "StaticVectors"]

DIMENSION = 256
IDENTITY = f"wordllama-l2-supercat-1/{DIMENSION}"

_MAX_CHARACTERS = 65_536  # of one text: about 30 pages
_GROUP_CHARACTERS = 131_072  # of texts handled together: bounds what a call holds
_MANY_TOKENS = 8192


def _groups(texts: Sequence[str]) -> Iterator[list[str]]:
    """Yield the texts in order, in groups of bounded size."""
    group: list[str] = []
    size = 0
    for text in texts:
        if group and size + len(text) > _GROUP_CHARACTERS:
            yield group
            group, size = [], 0
        group.append(text)
        # An empty text counts too, or a million of them would be one group.
        size += len(text) + 1
    if group:
        yield group


class StaticVectors:
    """Word-level vectors: some quality for a hundred times the speed.

    Raises:
        MissingExtraError: If numpy, the tokenizer or the vectors are missing.
    """

    name = "static"
    identity = IDENTITY
    dimension = DIMENSION

    def __init__(self) -> None:
        files = find_static()
        absent = [package for package in ("numpy", "safetensors", "tokenizers") if not is_installed(package)]
        if files is None or absent:
            missing = absent[0] if absent else "wordllama"
            raise MissingExtraError("the embedder 'static'", extra="data", missing=missing)
        keep_heap_small()  # before the tokenizer's threads begin
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        self._tokenizer: Any = Tokenizer.from_file(str(files.tokenizer))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        (table,) = load_file(files.weights).values()
        self._table: NDArray[np.float32] = table.astype(np.float32)
        # A text without tokens points where the average token points: it must
        # have unit length like the others, and should be close to nothing.
        self._nothing: NDArray[np.float32] = np.asarray(self._table.mean(0), np.float32)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return an array of shape (len(texts), 256), rows of unit length."""
        vectors = np.empty((len(texts), DIMENSION), np.float32)
        start = 0
        for group in _groups(readable(texts, limit=_MAX_CHARACTERS)):
            vectors[start : start + len(group)] = self._embed(group)
            start += len(group)
        return vectors

    def _embed(self, texts: list[str]) -> NDArray[np.float32]:
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        sums = np.array([self._sum(row) for row in rows])
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        return np.asarray(sums / lengths, np.float32)

    def _sum(self, row: list[int]) -> NDArray[np.float32]:
        # The direction of the sum is that of the mean, so nothing is divided here.
        if not row:
            return self._nothing
        if len(row) <= _MANY_TOKENS:
            return np.asarray(self._table[row].sum(0), np.float32)
        # Counting tokens first keeps memory at one table, however long the text.
        counts = np.bincount(row, minlength=len(self._table)).astype(np.float32)
        return np.asarray(counts @ self._table, np.float32)

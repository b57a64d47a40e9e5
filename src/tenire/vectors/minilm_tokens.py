"""From texts to MiniLM's batches: token ids, grouped by length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["as_batch", "load_tokenizer", "plan_batches"]

_MAX_TOKENS = 256  # what the model was trained with
_BATCH_TOKENS = 1536
_BATCH_ROWS = 32
_LEAST_BATCH_TOKENS = 256


def load_tokenizer(path: Path) -> Any:
    """Return the model's ``tokenizers.Tokenizer``, cutting at 256 tokens, not padding."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    # The file carries settings of its first training: cut at 128, pad to 128.
    tokenizer.enable_truncation(_MAX_TOKENS)
    tokenizer.no_padding()
    return tokenizer


def as_batch(rows: Sequence[Sequence[int]]) -> dict[str, NDArray[np.int64]]:
    """Return the model's inputs for rows of token ids, padded to the longest of them."""
    width = max(len(row) for row in rows)
    ids = np.zeros((len(rows), width), np.int64)
    mask = np.zeros((len(rows), width), np.int64)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = row
        mask[place, : len(row)] = 1
    return {"ids": ids, "mask": mask}


def plan_batches(lengths: Sequence[int], *, workers: int) -> list[list[int]]:
    """Group texts into batches of similar length.

    Longest first: padding stays small, and the last batches to finish are the
    short ones, so that workers end together.

    Args:
        lengths: Tokens of each text.
        workers: Batches that run at the same time. A small input is spread over
            all of them.

    Returns:
        Lists of indices into ``lengths``; each index occurs once.
    """
    share = -(-sum(lengths) // workers)
    budget = min(_BATCH_TOKENS, max(_LEAST_BATCH_TOKENS, share))
    batches: list[list[int]] = []
    room = 0
    for index in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        if room == 0:
            batches.append([])
            room = min(_BATCH_ROWS, max(1, budget // lengths[index]))
        batches[-1].append(index)
        room -= 1
    return batches

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

# OpenVINO keeps about 0.5 MB for every shape it has seen, and for each thread as much as
# the largest batch needs in between: 40 MB for 1,024 tokens. Few widths, rows in powers of
# two and no more than 1,024 tokens leave memory at 250 MB (with 2,048 tokens and widths in
# steps of 16 it was 300; with free shapes it had passed 500 MB after 700 texts and went
# on). It takes no longer: fewer kernels are made, and what a layer writes stays in the cache.
_NARROW = 96
_STEPS = (16, 32)  # up to that width, and beyond
_ROWS_BY_WIDTH = ((32, 32), (64, 16), (128, 8), (_MAX_TOKENS, 4))


def load_tokenizer(path: Path) -> Any:
    """Return the model's ``tokenizers.Tokenizer``, cutting at 256 tokens, not padding."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    # The file carries settings of its first training: cut at 128, pad to 128.
    tokenizer.enable_truncation(_MAX_TOKENS)
    tokenizer.no_padding()
    return tokenizer


def _width(tokens: int) -> int:
    step = _STEPS[tokens > _NARROW]
    return -(-tokens // step) * step


def as_batch(rows: Sequence[Sequence[int]]) -> dict[str, NDArray[np.int64]]:
    """Return the model's inputs for rows of token ids, padded to one of a few widths."""
    width = _width(max(len(row) for row in rows))
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
        lengths: Tokens of each text, at most 256.
        workers: Batches that run at the same time. A small input is spread over
            all of them.

    Returns:
        Lists of indices into ``lengths``; each index occurs once. Sizes are
        powers of two.
    """
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    share = -(-len(order) // workers)
    batches: list[list[int]] = []
    start = 0
    while start < len(order):
        width = _width(lengths[order[start]])
        most = next(rows for limit, rows in _ROWS_BY_WIDTH if width <= limit)
        rows = min(most, share, len(order) - start)
        rows = 1 << (rows.bit_length() - 1)
        batches.append(order[start : start + rows])
        start += rows
    return batches

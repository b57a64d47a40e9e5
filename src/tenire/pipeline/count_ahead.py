"""How far a source goes, for the display: the listing itself waits for room."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tenire.pipeline.progress import PipelineProgress

__all__ = ["count_ahead"]


def count_ahead(sizes: Callable[[], Iterable[int]], progress: PipelineProgress) -> None:
    """Count a source to its end, or until its run has listed it or is over; blocks.

    Args:
        sizes: Lists the source once more: the bytes of each of its items.
        progress: Where to count.
    """
    for size in sizes():
        if progress.listed or progress.state != "running":
            return
        progress.expected += 1
        progress.bytes_expected += size
    progress.listed = True

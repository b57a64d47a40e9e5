from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tenire.pipeline.count_ahead import count_ahead
from tenire.pipeline.progress import PipelineProgress

if TYPE_CHECKING:
    from collections.abc import Iterator


def running() -> PipelineProgress:
    progress = PipelineProgress("p")
    progress.state = "running"
    return progress


def test_items_and_bytes_are_counted_to_the_end() -> None:
    progress = running()
    count_ahead(lambda: [3, 0, 4], progress)
    assert (progress.expected, progress.bytes_expected, progress.listed) == (3, 7, True)


@pytest.mark.parametrize("end", ["listed", "failed"])
def test_counting_ends_once_nobody_needs_it(end: str) -> None:
    progress = running()

    def sizes() -> Iterator[int]:
        yield 1
        if end == "listed":
            progress.listed = True
        else:
            progress.state = end
        yield from (1 for _ in range(1_000))

    count_ahead(sizes, progress)
    assert progress.expected == 1
    assert progress.listed == (end == "listed")

from __future__ import annotations

from tenire.pipeline.chunks import BATCH_BYTES, BATCH_ITEMS, batches, bytes_held
from tenire.pipeline.lister import Work
from tenire.protocols import SourceFile


def work(size: int, number: int = 0) -> Work:
    return Work(SourceFile(f"/{number}", size, 1))


def test_a_batch_ends_at_its_number_of_items() -> None:
    cut = list(batches(work(1, number) for number in range(2 * BATCH_ITEMS + 1)))
    assert [len(batch) for batch in cut] == [BATCH_ITEMS, BATCH_ITEMS, 1]
    assert [item.file.path for batch in cut for item in batch] == [f"/{n}" for n in range(2 * BATCH_ITEMS + 1)]


def test_a_batch_ends_before_its_bytes_pass_the_limit() -> None:
    half = BATCH_BYTES // 2
    assert [len(batch) for batch in batches([work(half), work(half), work(1)])] == [2, 1]


def test_a_large_item_is_a_batch_by_itself() -> None:
    cut = list(batches([work(1), work(50 * BATCH_BYTES), work(1)]))
    assert [[item.file.size for item in batch] for batch in cut] == [[1], [50 * BATCH_BYTES], [1]]


def test_no_work_makes_no_batch() -> None:
    assert list(batches([])) == []


def test_a_batch_holds_several_times_its_bytes() -> None:
    assert bytes_held([work(10), work(5)]) == 60

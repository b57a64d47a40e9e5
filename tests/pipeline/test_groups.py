from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from tenire.pipeline.groups import BATCH_BYTES, BATCH_FILES, Group, batches
from tenire.pipeline.lister import Work
from tenire.protocols import Rejection, SourceFile, Unchanged

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.protocols import Document


def work(size: int, number: int = 0, **facts: object) -> Work:
    return Work(SourceFile(f"/{number}", size, 1), **facts)  # type: ignore[arg-type]


def test_a_batch_ends_at_its_number_of_files() -> None:
    cut = list(batches(work(1, number) for number in range(2 * BATCH_FILES + 1)))
    assert [len(batch) for batch in cut] == [BATCH_FILES, BATCH_FILES, 1]
    assert [item.file.path for batch in cut for item in batch] == [f"/{n}" for n in range(2 * BATCH_FILES + 1)]


def test_a_batch_ends_before_its_bytes_pass_the_limit() -> None:
    half = BATCH_BYTES // 2
    assert [len(batch) for batch in batches([work(half), work(half), work(1)])] == [2, 1]


def test_a_large_file_is_a_batch_by_itself() -> None:
    cut = list(batches([work(1), work(50 * BATCH_BYTES), work(1)]))
    assert [[item.file.size for item in batch] for batch in cut] == [[1], [50 * BATCH_BYTES], [1]]


def test_no_work_makes_no_batch() -> None:
    assert list(batches([])) == []


def test_a_group_sorts_what_came_of_a_batch(document: Callable[..., Document]) -> None:
    group, held = Group(), AsyncExitStack()
    items = [
        work(1, 1, old_document="old", was_done=True),
        work(1, 2),
        work(1, 3, known_hash="x", old_document="same", was_done=True),
        work(1, 4, known_hash="y"),
        work(1, 5, old_document="older", was_done=True),
    ]
    new = document("/1", "three words here")
    refused, bad = Rejection(items[1].file, "read", "gone"), Rejection(items[4].file, "read", "gone")
    touched, still_bad = Unchanged(items[2].file, "x"), Unchanged(items[3].file, "y")
    group.add(items, [new, refused, touched, still_bad, bad], held)
    assert group.documents == [new]
    assert group.rejections == [refused, bad]
    assert (group.unchanged_done, group.unchanged_rejected) == ([touched], [still_bad])
    # What the store has of a document that stays is of no use for this group.
    assert group.replaced == {"old", "older"}
    assert group.passages == 3
    assert group.holds == [held]

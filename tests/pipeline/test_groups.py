from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from tenire.pipeline.groups import Group
from tenire.pipeline.lister import Work
from tenire.protocols import Rejection, SourceFile, Unchanged

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.protocols import Document


def work(size: int, number: int = 0, **facts: object) -> Work:
    return Work(SourceFile(f"/{number}", size, 1), **facts)  # type: ignore[arg-type]


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

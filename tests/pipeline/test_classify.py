from __future__ import annotations

import pytest

from tenire.pipeline.classify import Decision, classify
from tenire.protocols import SourceFile
from tenire.storage.records import SourceRow, SourceState

FILE = SourceFile("/a", 10, 100)


def row(**changes: object) -> SourceRow:
    facts: dict[str, object] = {
        "id": 1,
        "path": "/a",
        "size": 10,
        "mtime_ns": 100,
        "content_hash": "h",
        "document": "d",
        "state": SourceState.DONE,
        "recipe": "r",
        "racy": False,
    }
    return SourceRow(**(facts | changes))  # type: ignore[arg-type]


QUARANTINED = {"state": SourceState.QUARANTINED, "document": None}


@pytest.mark.parametrize(
    ("known", "decision"),
    [
        (None, Decision.NEW),
        (row(), Decision.UNCHANGED),
        (row(mtime_ns=99), Decision.TOUCHED),
        (row(mtime_ns=101), Decision.TOUCHED),
        (row(racy=True), Decision.TOUCHED),
        (row(size=9), Decision.CHANGED),
        (row(recipe="older"), Decision.CHANGED),
        (row(**QUARANTINED), Decision.QUARANTINED),
        (row(**QUARANTINED, mtime_ns=99), Decision.TOUCHED),
        (row(**QUARANTINED, racy=True), Decision.TOUCHED),
        (row(**QUARANTINED, size=9), Decision.CHANGED),
        (row(**QUARANTINED, recipe="older"), Decision.CHANGED),
        (row(**QUARANTINED, content_hash=""), Decision.QUARANTINED),
        (row(**QUARANTINED, content_hash="", racy=True), Decision.QUARANTINED),
        (row(**QUARANTINED, content_hash="", mtime_ns=99), Decision.CHANGED),
        (row(document=None, state=SourceState.RETRY), Decision.CHANGED),
    ],
)
def test_a_file_is_worked_on_only_if_it_may_have_changed(known: SourceRow | None, decision: Decision) -> None:
    assert classify(FILE, known, recipe="r") is decision

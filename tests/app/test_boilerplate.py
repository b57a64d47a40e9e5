"""Lines that repeat over a folder: found before its first document is read, kept, and found anew when it has grown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import tenire
from tenire.app.boilerplate import _counted
from tenire.app.inspect import boilerplate

if TYPE_CHECKING:
    from pathlib import Path

    from tenire.pipeline.progress import PipelineProgress

FOOT = "Copyright Example Ltd."


def put(folder: Path, first: int, count: int, foot: str = FOOT) -> None:
    folder.mkdir(exist_ok=True)
    for number in range(first, first + count):
        words = " ".join(f"w{number}x{word}" for word in range(30))
        (folder / f"{number:03}.txt").write_text(f"Page {number}\n\n{words}.\n\n{foot}\n")


def run(tmp_path: Path, **how: Any) -> PipelineProgress:
    how = {"boilerplate": True, "embedder": "static"} | how
    pipeline = tenire.Pipeline("docs", source=str(tmp_path / "docs"), **how)
    progress = tenire.run(pipeline, home=tmp_path / "home").pipelines["docs"]
    assert progress.state == "done", progress.error
    return progress


@pytest.mark.slow
def test_lines_that_repeat_are_taken_out_and_found_anew_when_the_source_has_doubled(
    tmp_path: Path,
) -> None:
    put(tmp_path / "docs", 0, 8)
    first = run(tmp_path)
    assert (first.done, first.boilerplate_lines) == (8, 8)
    assert boilerplate(tmp_path / "home")["docs"].lines == {FOOT: 8}
    with tenire.Store(tmp_path / "home") as store:
        assert store.search("copyright", mode="text").hits == []
        assert store.search("w3x7", mode="text").hits[0].lines == [1, 3]
    # One more file changes nothing for the others, and is read as they were.
    put(tmp_path / "docs", 8, 1)
    more = run(tmp_path)
    assert (more.done, more.unchanged, more.boilerplate_lines) == (1, 8, 1)
    # With twice the files, other lines may repeat: all are read again.
    put(tmp_path / "docs", 9, 11, foot="Printed by another press.")
    anew = run(tmp_path)
    assert (anew.done, anew.unchanged, anew.boilerplate_lines) == (20, 0, 20)
    assert run(tmp_path).unchanged == 20
    # Without it, all lines are back.
    assert run(tmp_path, boilerplate=False).done == 20
    with tenire.Store(tmp_path / "home") as store:
        assert len(store.search("copyright", mode="text", k=20).hits) == 9


def test_a_line_counts_once_a_document_and_has_to_stand_in_five() -> None:
    documents = [["a", "b"], ["A", "b"], ["a"], ["a"], ["a", "c"]]
    assert _counted(documents, 0.2) == {"A": 5}
    assert _counted(documents * 10, 0.5) == {"A": 50}
    assert _counted([], 0.2) == {}

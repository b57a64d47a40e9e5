"""Passages that say the same are shown once; a difference that matters keeps them apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tenire.app.alike import alike, words_of
from tenire.app.search import search

from .conftest import write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tenire.pipeline.progress import RunReport

    Run = Callable[..., RunReport]

TEXT = (
    "The herd of zebras drinks at the river in the evening, when the lions sleep and the crocodiles are full; the old "
    "mare goes first, the foals follow her, and the stallion waits on the bank until all of them have come back to it."
)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (TEXT, True),
        (TEXT.upper().replace(",", " -"), True),
        (TEXT.replace("old", "grey"), True),
        (TEXT.replace("old", "grey").replace("foals", "young"), True),
        (TEXT.replace("evening", "morning").replace("lions", "hyenas").replace("stallion", "leader"), False),
        (TEXT.replace("old", "3rd"), False),
        (TEXT.replace("crocodiles", "hippos"), False),  # which was asked for
        (TEXT + " " + TEXT, False),
    ],
)
def test_a_few_words_make_no_difference_unless_they_matter(other: str, expected: bool) -> None:
    asked = {"are", "crocodiles", "hungry"}
    assert alike(words_of(TEXT), words_of(other), asked) is expected
    assert alike(words_of(other), words_of(TEXT), asked) is expected


def test_short_passages_are_only_the_same_if_they_are_equal() -> None:
    assert not alike(words_of("zebras drink at the river"), words_of("Zebras drink at the river!"), set())


def test_what_says_the_same_in_several_files_is_one_hit_and_others_take_the_places(tmp_path: Path, ingest: Run) -> None:
    docs = tmp_path / "docs"
    for number, word in enumerate(("old", "grey", "lame", "wise", "slow")):
        write(docs / f"{number}.txt", TEXT.replace("old", word))
    for number in range(5, 9):
        write(docs / f"{number}.txt", f"Zebras number {number} drink at another river, far from lions and crocodiles.")
    ingest(docs)
    hits = search(tmp_path / "home", "the herd drinks in the evening while the lions sleep", k=3).hits
    assert len(hits) == 3
    (joined,) = [hit for hit in hits if hit.also]
    assert {path.rpartition("/")[2] for path in (joined.source, *joined.also)} == {f"{n}.txt" for n in range(5)}
    apart = search(tmp_path / "home", "the wise mare goes first", k=2, mode="text").hits
    assert apart[0].source.endswith("3.txt")
    assert str(docs / "3.txt") not in apart[1].also

"""Documents that are nearly the same: one is stored, the others stay known, and come back when it leaves."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tenire.app.inspect import verify
from tenire.app.search import search
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger

from .conftest import write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tenire.pipeline.progress import PipelineProgress, RunReport

    Run = Callable[..., RunReport]

WORDS = "zebra stripe foal mother lion river grass herd dust rain night moon hoof tail ear eye sun hill".split()  # noqa: SIM905
NEAR = '[pipelines.docs]\nembedder = "static"\nsource = "docs"\nnear_duplicates = 0.9\n'


def essay(seed: int, words: int = 300) -> str:
    rng = random.Random(seed)
    return " ".join(f"{rng.choice(WORDS)}{rng.randrange(40)}" for _ in range(words))


def edited(text: str, seed: int, share: float = 0.04) -> str:
    rng = random.Random(seed)
    words = text.split()
    for place in rng.sample(range(len(words)), round(share * len(words))):
        words[place] = f"edit{seed}x{place}"
    return " ".join(words)


@pytest.fixture
def run(tmp_path: Path, run_toml: Run) -> Callable[[], PipelineProgress]:
    def once() -> PipelineProgress:
        progress = run_toml(NEAR).pipelines["docs"]
        assert progress.seen == progress.done + progress.unchanged + progress.quarantined
        assert verify(tmp_path / "home").ok
        return progress

    return once


def test_a_near_copy_is_not_stored_again_and_is_found_with_its_similarity(
    tmp_path: Path, run: Callable[[], PipelineProgress]
) -> None:
    docs = tmp_path / "docs"
    first = write(docs / "a.txt", essay(1))
    copy = write(docs / "b.txt", edited(essay(1), 7))
    other = write(docs / "c.txt", essay(2))
    alone = write(docs / "d.txt", edited(essay(1), 8, share=0.3))
    progress = run()
    assert (progress.done, progress.near_duplicates) == (4, 1)
    hits = search(tmp_path / "home", essay(1)[:60], k=20).hits
    assert {hit.source for hit in hits} == {str(first), str(other), str(alone)}
    of_first = next(hit for hit in hits if hit.source == str(first))
    assert of_first.also == [str(copy)]
    assert 0.9 < of_first.similar[str(copy)] < 1
    again = run()
    assert (again.unchanged, again.near_duplicates) == (4, 0)


def test_when_the_stored_one_leaves_its_copies_are_done_again(
    tmp_path: Path, run: Callable[[], PipelineProgress]
) -> None:
    docs = tmp_path / "docs"
    first = write(docs / "a.txt", essay(1))
    copies = [write(docs / f"b{seed}.txt", edited(essay(1), seed, 0.02)) for seed in (7, 8)]
    assert run().near_duplicates == 2
    first.unlink()
    leaving = run()
    assert (leaving.removed, leaving.unchanged) == (1, 2)
    assert search(tmp_path / "home", essay(1)[:60]).hits  # until then it stays
    after = run()
    assert (after.done, after.unchanged, after.near_duplicates) == (2, 0, 1)
    hits = search(tmp_path / "home", "edit7x1 " + essay(1)[:60], k=20).hits
    assert {hit.source for hit in hits} == {str(copies[0])}
    assert "edit7x" in " ".join(hit.text for hit in hits)
    assert hits[0].also == [str(copies[1])]
    assert run().unchanged == 2


def test_a_file_that_was_edited_is_no_copy_of_what_it_was(tmp_path: Path, run: Callable[[], PipelineProgress]) -> None:
    first = write(tmp_path / "docs/a.txt", essay(1))
    run()
    write(first, edited(essay(1), 9))
    progress = run()
    assert (progress.done, progress.near_duplicates) == (1, 0)
    assert "edit9x" in " ".join(hit.text for hit in search(tmp_path / "home", essay(1)[:60], k=20).hits)
    assert run().unchanged == 1


def test_a_copy_that_becomes_something_else_is_stored(tmp_path: Path, run: Callable[[], PipelineProgress]) -> None:
    write(tmp_path / "docs/a.txt", essay(1))
    copy = write(tmp_path / "docs/b.txt", edited(essay(1), 7))
    run()
    write(copy, essay(3))
    progress = run()
    assert (progress.done, progress.near_duplicates) == (1, 0)
    hits = search(tmp_path / "home", essay(1)[:60], k=20).hits
    assert {hit.source for hit in hits} == {str(tmp_path / "docs/a.txt"), str(copy)}
    assert all(not hit.also for hit in hits)


def test_new_copies_of_what_earlier_runs_stored_are_found(tmp_path: Path, run: Callable[[], PipelineProgress]) -> None:
    write(tmp_path / "docs/m.txt", essay(1))
    run()
    write(tmp_path / "docs/a.txt", edited(essay(1), 7))  # listed before the stored one
    write(tmp_path / "docs/z.txt", edited(essay(1), 8))
    assert run().near_duplicates == 2
    assert search(tmp_path / "home", essay(1)[:60], k=1).hits[0].source == str(tmp_path / "docs/m.txt")


def test_without_the_setting_everything_is_stored_again(
    tmp_path: Path, run: Callable[[], PipelineProgress], run_toml: Run
) -> None:
    write(tmp_path / "docs/a.txt", essay(1))
    write(tmp_path / "docs/b.txt", edited(essay(1), 7))
    assert run().near_duplicates == 1
    plain = run_toml(NEAR.replace("0.9", "false")).pipelines["docs"]
    assert (plain.done, plain.near_duplicates) == (2, 0)
    assert verify(tmp_path / "home").ok
    hits = search(tmp_path / "home", essay(1)[:60], k=20).hits
    assert {hit.source for hit in hits} == {str(tmp_path / "docs/a.txt"), str(tmp_path / "docs/b.txt")}


def test_the_first_in_the_order_of_the_source_is_the_one_that_is_stored(
    tmp_path: Path, run: Callable[[], PipelineProgress]
) -> None:
    for number in range(40):
        for version in range(3):
            write(tmp_path / f"docs/{number:02}-{version}.txt", edited(essay(number), version, 0.02) * (1 + number % 2))
    assert run().near_duplicates == 80
    with Ledger.read(Home(tmp_path / "home")) as ledger:
        nearly = {known.source for known in ledger.abouts.all() if known.similarity < 1}
    expected = [path for path in (tmp_path / "docs").iterdir() if not path.name.endswith("-0.txt")]
    assert nearly == set(map(str, expected))

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tenire.vectors import dictionary_watch
from tenire.vectors.dictionary_watch import LARGE, SMALL, DictionaryWatch
from tenire.vectors.stored_texts import StoredTexts

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

KIB = b"x" * 1024
WINDOW = 2048  # texts of a KiB


def watched(*, ratio: float = 2.0) -> DictionaryWatch:
    """One that has tried the large dictionary, with this ratio."""
    watch = DictionaryWatch()
    watch.note([KIB] * WINDOW, WINDOW * 512)
    assert watch.due(current=True)
    watch.tried(raw=2000, before=2000, after=int(2000 / ratio))
    return watch


def test_the_first_dictionary_waits_for_a_fair_sample() -> None:
    watch = DictionaryWatch()
    watch.note([KIB] * 199, None)
    assert not watch.due(current=False)
    watch.note([KIB], None)
    assert watch.due(current=False)
    learn, compare, size = watch.samples()
    assert (len(learn), len(compare), size) == (100, 100, SMALL)
    assert watch.tried(raw=1000, before=None, after=500)


def test_a_larger_one_follows_the_first_and_then_there_is_peace() -> None:
    watch = DictionaryWatch()
    watch.note([KIB] * 200, None)
    watch.tried(raw=1000, before=None, after=500)
    watch.note([KIB] * WINDOW, WINDOW * 512)
    assert watch.due(current=True)
    assert watch.samples()[2] == LARGE
    assert watch.tried(raw=1000, before=500, after=450)
    for _ in range(5):
        watch.note([KIB] * WINDOW, WINDOW * 461)
        assert not watch.due(current=True)


def test_a_window_that_shrinks_less_is_a_reason_to_learn_again() -> None:
    watch = watched(ratio=2.0)
    watch.note([KIB] * WINDOW, WINDOW * 530)
    assert not watch.due(current=True)
    watch.note([KIB] * WINDOW, WINDOW * 545)
    assert watch.due(current=True)


def test_one_that_is_hardly_better_is_not_taken() -> None:
    watch = DictionaryWatch()
    assert not watch.tried(raw=1000, before=500, after=490)
    assert not watch.tried(raw=1000, before=500, after=None)
    assert not watch.tried(raw=1000, before=None, after=None)
    assert watch.tried(raw=1000, before=500, after=480)


def test_samples_stay_within_a_window() -> None:
    watch = watched()
    for _ in range(50):
        watch.note([KIB] * 500, 500 * 500)
    assert sum(map(len, watch.samples()[0] + watch.samples()[1])) <= 3 << 20


def texts(language: str, count: int, seed: int) -> list[str]:
    rng = random.Random(language)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 9))) for _ in range(400)]
    rng = random.Random(seed)
    return [" ".join(rng.choices(words, k=60)) for _ in range(count)]


def test_a_store_whose_texts_change_learns_a_new_dictionary_and_reads_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dictionary_watch, "_WINDOW", 200 << 10)
    store, kept = StoredTexts(tmp_path), []
    ratios = []
    for language in ("old", "new"):
        for seed in range(8):
            some = texts(language, 300, seed)
            frames = store.compress(some)
            kept += zip(some, frames, strict=True)
            ratios.append(sum(map(len, some)) / sum(map(len, frames)))
    assert len(list((tmp_path / "dictionaries").glob("*.zdict"))) >= 2
    drifted, learnt = ratios[8], ratios[-1]
    assert learnt > 1.2 * drifted
    again = StoredTexts(tmp_path)
    assert all(again.decompress(frame) == text for text, frame in kept)
    # Another process goes on with the newest.
    newest = again.compress(texts("new", 10, 99))
    assert sum(map(len, newest)) < 1.05 * sum(map(len, store.compress(texts("new", 10, 99))))

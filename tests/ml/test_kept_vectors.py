"""Vectors that were paid for: found by their texts, whatever became of the rows and of the files."""

from __future__ import annotations

import os
from itertools import chain, pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tenire.ml.kept_vectors import KeptVectors

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

# Of a thousand keys some end in zeros, which numpy takes for padding.
TEXTS = [f"text {number}" for number in range(1000)]
TEXTS[7] = "half of a pair \ud83d"
VECTORS = np.random.default_rng(0).random((1000, 6), np.float32)


def keep(folder: Path, texts: list[str] = TEXTS, size: int = 256) -> KeptVectors:
    kept = KeptVectors(folder)
    bounds = [*range(0, len(texts), size), len(texts)]
    for number, (start, end) in enumerate(pairwise(bounds)):
        assert kept.put(number, texts[start:end], vectors_of(texts[start:end]))
    return KeptVectors(folder)


def vectors_of(texts: list[str]) -> NDArray[np.float32]:
    return VECTORS[[TEXTS.index(text) for text in texts]]


def joined(kept: KeptVectors, folder: Path, texts: list[str]) -> NDArray[np.float32] | None:
    folder.mkdir(exist_ok=True)
    if not kept.join(folder, bytearray(kept.look_up(texts)[0])):
        assert not (folder / "rows.npy").exists()
        return None
    rows: NDArray[np.float32] = np.load(folder / "rows.npy")
    return rows


def test_rows_get_the_vectors_of_their_texts_in_whatever_order_they_come(tmp_path: Path) -> None:
    kept = keep(tmp_path / "kept")
    rows = [*TEXTS[::-3], TEXTS[5], *TEXTS[::7], TEXTS[5]]
    assert kept.look_up([*rows[:3], "another", *rows[3:]])[1] == ["another"]
    found = joined(kept, tmp_path / "rows", rows)
    assert found is not None
    assert np.array_equal(found, vectors_of(rows))


@pytest.mark.parametrize("most_recent", [5, 10_000])
def test_a_text_is_to_be_asked_for_once_however_far_apart_its_rows_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_recent: int
) -> None:
    monkeypatch.setattr("tenire.ml.kept_vectors._MOST_RECENT", most_recent)
    kept = keep(tmp_path / "kept", TEXTS[:100])
    asked = [kept.look_up([*TEXTS[start : start + 60], *TEXTS[start : start + 9]])[1] for start in range(0, 960, 30)]
    assert list(chain.from_iterable(asked)) == TEXTS[100:990]
    assert keep(tmp_path / "kept", TEXTS[100:200]).look_up(TEXTS)[1] == TEXTS[200:]


def test_no_matrix_is_made_of_rows_some_of_which_have_no_vector(tmp_path: Path) -> None:
    assert joined(keep(tmp_path / "kept"), tmp_path / "rows", [*TEXTS, "another"]) is None
    assert joined(KeptVectors(tmp_path / "none"), tmp_path / "rows", TEXTS) is None


def test_a_file_that_is_damaged_or_half_written_is_as_if_it_was_not_there(tmp_path: Path) -> None:
    texts = TEXTS[:20]
    keep(tmp_path / "kept", texts, size=10)
    damaged, _ = sorted((tmp_path / "kept").iterdir())
    whole = damaged.read_bytes()
    kinds = [whole[:end] for end in range(0, len(whole), 97)]
    kinds += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(0, len(whole), 53)]
    (tmp_path / "kept" / "000002-0123.new").write_bytes(whole)
    for data in [*kinds, whole + b"\0"]:
        damaged.write_bytes(data)
        kept = KeptVectors(tmp_path / "kept")
        assert kept.look_up(texts)[1] == texts[:10]
        assert joined(kept, tmp_path / "rows", texts) is None
    assert KeptVectors(tmp_path / "kept").put(0, texts[:10], vectors_of(texts[:10]))
    assert KeptVectors(tmp_path / "kept").look_up(texts)[1] == []


@pytest.mark.skipif(os.name == "nt", reason="such a name cannot be made there")
def test_what_cannot_be_read_is_as_if_it_was_not_there(tmp_path: Path) -> None:
    keep(tmp_path, TEXTS[:20], size=10)
    file, _ = sorted(tmp_path.iterdir())
    file.unlink()
    file.mkdir()
    assert KeptVectors(tmp_path).look_up(TEXTS[:20])[1] == TEXTS[:10]


def test_vectors_of_another_length_are_not_mixed_with_those_of_before(tmp_path: Path) -> None:
    kept = keep(tmp_path, TEXTS[:20])
    assert not kept.put(1, ["another"], np.ones((1, 7)))
    kept = KeptVectors(tmp_path)
    assert kept.look_up(TEXTS[:20])[1] == TEXTS[:20]
    assert kept.put(1, ["another"], np.ones((1, 7)))
    assert kept.look_up(["another"])[1] == ["another"]  # not since it was opened
    assert KeptVectors(tmp_path).look_up(["another"])[1] == []


def test_what_stays_of_another_length_is_not_read(tmp_path: Path) -> None:
    first, second = KeptVectors(tmp_path / "kept"), KeptVectors(tmp_path / "kept")
    assert first.put(0, TEXTS[:10], vectors_of(TEXTS[:10]))
    assert second.put(1, ["another"], np.ones((1, 7)))
    kept = KeptVectors(tmp_path / "kept")
    assert kept.look_up([*TEXTS[:10], "another"])[1] == ["another"]
    assert joined(kept, tmp_path / "rows", [*TEXTS[:10], "another"]) is None

"""Training in slices: where they end changes nothing, and the result is as good as a plain script's."""

from __future__ import annotations

import os
import shutil
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tenire.ml.classifier import LinearClassifier
from tenire.ml.matrix import PartFiles, TrainingRows
from tenire.ml.plans import TrainingPlan
from tenire.ml.trainer import advance, evaluate, result
from tenire.ml.uses import TEST, TRAINING, VALIDATION

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytest.importorskip("sklearn")


def digits() -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int8]]:
    from sklearn.datasets import load_digits

    data = load_digits()
    rows = (data.data / np.linalg.norm(data.data, axis=1, keepdims=True)).astype(np.float32)
    chance = np.random.default_rng(0).random(len(rows))
    uses = np.where(chance < 0.2, TEST, np.where(chance < 0.28, VALIDATION, TRAINING)).astype(np.int8)
    return rows, data.target.astype(np.int32), uses


def kept(folder: Path, rows: NDArray[np.float32], labels: NDArray[np.int32], uses: NDArray[np.int8]) -> str:
    parts = PartFiles(folder)
    for number, start in enumerate(range(0, len(rows), 500)):
        parts.put(number, rows[start : start + 500])
    parts.join(number + 1, labels, uses)
    return str(folder)


def trained(folder: str, plan: TrainingPlan, seconds: float) -> int:
    """Train to the end; return the number of slices."""
    ticks = count()
    for number in count(1):
        if advance(folder, plan, seconds, now=lambda: float(next(ticks))).over:
            return number
    raise AssertionError


PLAN = TrainingPlan(classes=10)


def test_it_is_as_good_as_a_plain_script(tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    rows, labels, uses = digits()
    folder = kept(tmp_path / "t", rows, labels, uses)
    trained(folder, PLAN, seconds=1e9)
    found = evaluate(folder, TEST)
    own = uses != TEST
    plain = LogisticRegression(C=10, max_iter=1000).fit(rows[own], labels[own]).score(rows[~own], labels[~own])
    assert found.rows == int((~own).sum())
    noise = 2 * np.sqrt(plain * (1 - plain) / found.rows)  # two standard errors of what is measured
    assert found.accuracy is not None
    assert found.accuracy >= plain - noise
    assert found.macro_f1 == pytest.approx(found.accuracy, abs=0.02)


def test_rows_that_say_when_to_stop_are_learnt_from_too(tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    rows, labels, _ = digits()
    behind = []
    for seed in range(6):  # few rows, so that each of them counts, and many to test with
        order = np.random.default_rng(seed).permutation(len(rows))
        uses = np.full(len(rows), TEST, np.int8)
        uses[order[:160]], uses[order[160:200]] = TRAINING, VALIDATION
        folder = kept(tmp_path / str(seed), rows, labels, uses)
        trained(folder, PLAN, seconds=1e9)
        own = uses != TEST
        plain = LogisticRegression(C=10, max_iter=1000, class_weight="balanced").fit(rows[own], labels[own])
        accuracy = evaluate(folder, TEST).accuracy
        assert accuracy is not None
        behind.append(plain.score(rows[~own], labels[~own]) - accuracy)
    assert np.mean(behind) < 0.004


@pytest.mark.parametrize("seconds", [0.0, 3.0])
def test_where_slices_end_changes_no_bit_of_the_result(tmp_path: Path, seconds: float) -> None:
    data = digits()
    whole, cut = kept(tmp_path / "whole", *data), kept(tmp_path / "cut", *data)
    assert trained(whole, PLAN, seconds=1e9) == 1
    assert trained(cut, PLAN, seconds=seconds) > 1
    for one, other in zip(result(whole), result(cut), strict=True):
        assert one.tobytes() == other.tobytes()


def test_a_slice_that_is_lost_is_made_again_to_the_bit(tmp_path: Path) -> None:
    data = digits()
    whole, cut = kept(tmp_path / "whole", *data), kept(tmp_path / "cut", *data)
    trained(whole, PLAN, seconds=1e9)
    advance(cut, PLAN, 0.0)
    shutil.copy(tmp_path / "cut" / "state.npz", tmp_path / "checkpoint")
    advance(cut, PLAN, 0.0)  # a worker that is killed here leaves the checkpoint before
    shutil.move(tmp_path / "checkpoint", tmp_path / "cut" / "state.npz")
    (tmp_path / "cut" / "state.npz.new").write_bytes(b"half of a che")
    trained(cut, PLAN, seconds=2.0)
    for one, other in zip(result(whole), result(cut), strict=True):
        assert one.tobytes() == other.tobytes()


def test_it_ends_once_nothing_gets_better(tmp_path: Path) -> None:
    rows = np.eye(4, dtype=np.float32)[np.arange(400) % 2]
    labels = (np.arange(400) % 2).astype(np.int32)
    uses = np.where(np.arange(400) < 40, VALIDATION, TRAINING).astype(np.int8)
    folder = kept(tmp_path / "t", rows, labels, uses)
    plan = TrainingPlan(classes=2, epochs=1000)
    while not (last := advance(folder, plan, 1e9)).over:
        pass
    assert last.epoch < 1000
    assert last.accuracy == 1.0


def test_a_seldom_class_counts_as_much_as_a_frequent_one(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    labels = (random.random(4000) < 0.03).astype(np.int32)
    rows = (random.normal(size=(4000, 4)) + labels[:, None] * 1.2).astype(np.float32)
    uses = np.where(random.random(4000) < 0.3, TEST, TRAINING).astype(np.int8)
    found = {}
    for balanced in (True, False):
        folder = kept(tmp_path / str(balanced), rows, labels, uses)
        plan = TrainingPlan(classes=2, balanced=balanced, epochs=50)
        trained(folder, plan, seconds=1e9)
        confusion = evaluate(folder, TEST).confusion
        found[balanced] = confusion[1, 1] / confusion[1].sum()
    assert found[True] > 0.8 > found[False]


def test_sparse_rows_are_trained_on_as_well(tmp_path: Path) -> None:
    from scipy.sparse import csr_array

    rows, labels, uses = digits()
    results = []
    for name in ("dense", "sparse"):
        parts = PartFiles(tmp_path / name)
        parts.put(0, rows if name == "dense" else csr_array(rows))
        parts.join(1, labels, uses)
        trained(str(tmp_path / name), PLAN, seconds=1e9)
        results.append(result(str(tmp_path / name))[0])
    assert np.allclose(*results, atol=1e-5)


def test_parts_that_are_made_at_the_same_time_are_kept_each_under_its_own_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, labels, uses = digits()
    parts = PartFiles(tmp_path)
    fsync = os.fsync

    def beside(fd: int) -> None:
        """The other part is made while this one is on its way to the disk."""
        monkeypatch.setattr(os, "fsync", fsync)
        parts.put(1, rows[100:300])
        fsync(fd)

    monkeypatch.setattr(os, "fsync", beside)
    parts.put(0, rows[:100])
    parts.join(2, labels[:300], uses[:300])
    assert np.array_equal(TrainingRows.open(tmp_path).matrix, rows[:300])


def test_rows_that_do_not_fit_are_refused_and_say_why() -> None:
    from tenire.errors import PredictionError

    head = LinearClassifier("topics@1", np.zeros((3, 4)), np.zeros(3), ["a", "b", "c"])
    with pytest.raises(PredictionError, match=r"takes rows of 4 numbers, got the shape \(2, 5\)"):
        head.predict(np.zeros((2, 5)))
    with pytest.raises(PredictionError, match="row 1 holds some that are none"):
        head.predict(np.array([[0.0] * 4, [0.0, np.nan, 0.0, 0.0]]))
    assert head.probabilities(np.zeros((1, 4))).tolist() == [[1 / 3] * 3]

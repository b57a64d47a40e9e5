"""Real runs of pipelines that label rows with a model of the home."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tenire.errors import ConfigError, ModelFileError
from tenire.ml import ModelRegistry
from tenire.ml.tally import Tally

from .labelled import made_up, put

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tenire.pipeline.progress import RunReport

TRAIN = """
[pipelines.topics]
recipe = "classify"
train = "train.jsonl"
features = "hashing"
"""
PREDICT = """
[pipelines.again]
recipe = "predict"
model = "topics"
source = "rows.jsonl"
output = "again.jsonl"
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home without a model, beside rows to learn from and to label."""
    pytest.importorskip("sklearn")
    put(tmp_path / "train.jsonl", made_up(60, seed=1))
    put(tmp_path / "rows.jsonl", made_up(30, seed=2))
    return tmp_path / "home"


def labels(path: Path) -> list[Any]:
    return [json.loads(line)["label"] for line in (path / "again.jsonl").read_text("utf-8").splitlines()]


def test_rows_are_labelled_after_the_model_was_trained_and_measured_where_the_label_is_known(
    home: Path, tmp_path: Path, run_toml: Callable[..., RunReport]
) -> None:
    report = run_toml(TRAIN + PREDICT + 'after = ["topics"]\n')
    assert report.failed == ()
    totals = report.pipelines["again"].totals()
    assert (totals["seen"], totals["done"], totals["labelled_rows"]) == (30, 30, 30)
    assert totals["accuracy"] > 0.9
    right = sum(said == row["label"] for said, row in zip(labels(tmp_path), made_up(30, seed=2), strict=True))
    assert totals["accuracy"] == round(right / 30, 6)
    again = run_toml(PREDICT).pipelines["again"]
    assert (again.seen, again.unchanged, again.done) == (30, 30, 0)


def test_a_version_can_be_named_and_another_one_labels_everything_anew(
    home: Path, tmp_path: Path, run_toml: Callable[..., RunReport]
) -> None:
    run_toml(TRAIN)
    first = ModelRegistry(home).open("topics").manifest.version
    put(tmp_path / "train.jsonl", made_up(80, seed=3))
    run_toml(TRAIN)
    assert run_toml(PREDICT).pipelines["again"].done == 30
    named = run_toml(PREDICT.replace('"topics"', f'"topics@{first}"')).pipelines["again"]
    assert (named.state, named.done) == ("done", 30)


def test_a_model_that_is_not_there_or_says_nothing_is_refused_before_anything_starts(
    home: Path, run_toml: Callable[..., RunReport]
) -> None:
    with pytest.raises(ModelFileError, match="there is no model 'topics'"):
        run_toml(PREDICT)
    assert not home.exists()
    ModelRegistry(home).save("topics", {"model.npz": b""}, kind="arrays")
    with pytest.raises(ConfigError, match="cannot be asked"):
        run_toml(PREDICT)


def test_a_damaged_model_is_refused(home: Path, run_toml: Callable[..., RunReport]) -> None:
    run_toml(TRAIN)
    (ModelRegistry(home).open("topics").folder / "head.npz").write_bytes(b"x")
    with pytest.raises(ModelFileError, match="is damaged"):
        run_toml(PREDICT)


def test_an_embedder_that_has_changed_is_told(home: Path, run_toml: Callable[..., RunReport]) -> None:
    settings = {"features": "embedding", "embedder": "static", "identity": "another/64"}
    ModelRegistry(home).save("topics", {"head.npz": b""}, kind="classifier", settings=settings)
    with pytest.raises(ModelFileError, match="was trained on vectors of another/64"):
        run_toml(PREDICT)


def test_a_tally_counts_what_is_right() -> None:
    tally = Tally()
    assert tally.figures() == {}
    for right, said in ("aa", "aa", "ab", "bb"):
        tally.add(right, said)
    assert tally.figures() == {"accuracy": 0.75, "macro_f1": round((0.8 + 2 / 3) / 2, 6), "labelled_rows": 4}


def test_a_tally_takes_no_label_for_another_one_and_counts_nothing_else() -> None:
    tally = Tally()
    tally.add(True, True)
    tally.add(True, 1)
    tally.add(["a list"], "a")
    assert tally.figures() == {"accuracy": 0.5, "macro_f1": round((2 / 3 + 0) / 2, 6), "labelled_rows": 2}

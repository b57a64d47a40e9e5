"""Real runs of pipelines with the stages that Tenire brings along, and of what is learnt for them."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tenire
from tenire.errors import ConfigError, ModelFileError, PredictionError
from tenire.ml import ModelRegistry, Scale, Words, fit_scale, fit_words
from tenire.vectors import Embed, load_embedder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tenire.pipeline.progress import PipelineProgress

TEXTS = ["zebra and lion", "a lion in the grass", "bank and ledger", "pay the bank"]


@pytest.fixture
def through(tmp_path: Path) -> Callable[..., tuple[PipelineProgress, dict[Any, dict[str, Any]]]]:
    """Takes items through stages; returns the counts, and the items of the sink by id."""

    def run(items: Sequence[Any], *stages: Any) -> tuple[PipelineProgress, dict[Any, dict[str, Any]]]:
        sink = tmp_path / "made.jsonl"
        pipeline = tenire.Pipeline("made", source=list(items), stages=list(stages), sink=str(sink))
        report = tenire.run(pipeline, home=tmp_path / "home")
        lines = [json.loads(line) for line in sink.read_text("utf-8").splitlines()]
        return report.pipelines["made"], {line["id"]: line for line in lines}

    return run


def items(*texts: Any) -> list[dict[str, Any]]:
    return [{"id": number, "text": text} for number, text in enumerate(texts)]


def test_texts_become_the_vectors_of_an_embedder_and_an_item_without_one_goes_to_quarantine(
    through: Callable[..., tuple[PipelineProgress, dict[Any, dict[str, Any]]]],
) -> None:
    counts, made = through([*items(*TEXTS), {"id": "none"}], Embed("static"))
    assert (counts.done, counts.quarantined) == (4, 1)
    own = load_embedder("static").embed(TEXTS)
    for number, vector in enumerate(own):
        assert np.allclose(made[number]["vector"], vector, atol=1e-6)
        assert made[number]["text"] == TEXTS[number]


def test_another_field_or_embedder_makes_another_stage() -> None:
    stages = [Embed("static"), Embed("static", field="title"), Embed("static", into="v"), Embed("static")]
    known = [stage.as_stage(2).identity for stage in stages]
    assert len(set(known)) == 3
    assert known[0] == known[3]
    assert Embed("static").as_stage(2).worker == "embedder"


def test_words_weigh_what_scikit_learn_says_and_a_new_vocabulary_makes_them_anew(
    tmp_path: Path, through: Callable[..., tuple[PipelineProgress, dict[Any, dict[str, Any]]]]
) -> None:
    text = pytest.importorskip("sklearn.feature_extraction.text")
    fit_words(tmp_path / "home", "topics", (text for text in TEXTS))
    stage = Words("topics", home=tmp_path / "home")
    counts, made = through(items(*TEXTS, "nothing known"), stage)
    assert counts.done == 5
    own = text.TfidfVectorizer().fit(TEXTS)
    for number, row in enumerate(own.transform(TEXTS).toarray()):
        expected = {name: weight for name, weight in zip(own.get_feature_names_out(), row, strict=True) if weight}
        assert made[number]["words"] == pytest.approx(expected, abs=1e-6)
    assert made[4]["words"] == {}
    assert through(items(*TEXTS, "nothing known"), stage)[0].unchanged == 5
    fit_words(tmp_path / "home", "topics", [*TEXTS, "one more"])
    assert through(items(*TEXTS, "nothing known"), stage)[0].done == 5


def test_hashed_words_need_nothing_learnt() -> None:
    pytest.importorskip("sklearn")
    first, second, third = (item["words"] for item in Words()(items("zebra lion", "lion zebra", "zebra")))
    assert first == second
    assert set(third) < set(first)
    assert all(column.isdigit() for column in first)
    assert math.isclose(sum(weight**2 for weight in first.values()), 1, abs_tol=1e-5)


def test_numbers_come_to_mean_nought_and_deviation_one_and_misfits_go_to_quarantine(
    tmp_path: Path, through: Callable[..., tuple[PipelineProgress, dict[Any, dict[str, Any]]]]
) -> None:
    rows = [[number * 1.0, 5.0, 1e9 + number % 3] for number in range(3000)]  # more than a batch, and far from nought
    fit_scale(tmp_path / "home", "sizes", iter(rows))
    given = [{"id": number, "vector": row} for number, row in enumerate(rows[:50])]
    given += [{"id": "short", "vector": [1, 2]}, {"id": "text", "vector": "abc"}, {"id": "none"}]
    counts, made = through(given, Scale("sizes", home=tmp_path / "home"))
    assert (counts.done, counts.quarantined) == (50, 3)
    own = (np.array(rows) - np.mean(rows, 0)) / np.where(np.std(rows, 0) > 0, np.std(rows, 0), 1)
    assert np.allclose([made[number]["vector"] for number in range(50)], own[:50], atol=1e-5)


def test_what_was_not_learnt_for_a_stage_is_refused_before_anything_starts(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with pytest.raises(ModelFileError, match="there is no model 'sizes'"):
        Scale("sizes", home=home).as_stage(None)
    version = fit_scale(home, "sizes", [[1.0], [3.0]])
    with pytest.raises(ConfigError, match="was not learnt by fit_words"):
        Words("sizes", home=home).as_stage(None)
    (version.folder / "scale.npz").write_bytes(b"x")
    with pytest.raises(ModelFileError, match="is damaged"):
        Scale("sizes", home=home).as_stage(None)
    with pytest.raises(ConfigError, match="documents are embedded anyway"):
        tenire.run(tenire.Pipeline("manual", source=str(tmp_path), stages=[Embed("static")]), home=home)


@pytest.mark.parametrize("rows", [[], [[1.0, 2.0], [1.0]], [["a"]], [[float("nan")]], [1.0, 2.0]])
def test_rows_that_nothing_can_be_learnt_from_are_told(tmp_path: Path, rows: Any) -> None:
    with pytest.raises(PredictionError, match="to learn sizes from, got"):
        fit_scale(tmp_path, "sizes", rows)
    assert ModelRegistry(tmp_path).names() == []


def test_texts_without_words_are_told(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    with pytest.raises(PredictionError, match="got 2 texts without any"):
        fit_words(tmp_path, "topics", ["", "!"])

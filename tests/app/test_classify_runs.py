"""Real runs of pipelines that train a model and label rows."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tenire.app.inspect import failed
from tenire.errors import ConfigError, ModelFileError
from tenire.ml import ModelRegistry, training
from tenire.pipeline.progress import StageProgress

from .labelled import made_up, put
from .stage_functions import embed_or_fail

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.pipeline.progress import PipelineProgress, RunReport

pytest.importorskip("sklearn")

TABLE = """
[pipelines.topics]
recipe = "classify"
train = "train.jsonl"
source = "rows.jsonl"
embedder = "static"
output = "labels.jsonl"
seed = 1
"""


@pytest.fixture
def classify(tmp_path: Path, run_toml: Callable[..., RunReport]) -> Callable[..., PipelineProgress]:
    """Runs the pipeline ``topics`` with what stands in the test's directory."""

    def run(more: str = "", table: str = TABLE) -> PipelineProgress:
        return run_toml(table + more).pipelines["topics"]

    put(tmp_path / "train.jsonl", made_up(240, seed=1))
    put(tmp_path / "rows.jsonl", made_up(60, seed=2, words=6), labels=False)
    return run


def told(path: Path) -> dict[Any, str]:
    lines = [json.loads(line) for line in (path / "labels.jsonl").read_text("utf-8").splitlines()]
    assert all(set(line) == {"id", "label", "score"} and 0 < line["score"] <= 1 for line in lines)
    assert len({line["id"] for line in lines}) == len(lines)
    return {line["id"]: line["label"] for line in lines}


def right(path: Path) -> float:
    labels = told(path)
    rows = made_up(60, seed=2, words=6)
    assert labels.keys() == {row["id"] for row in rows}
    return sum(labels[row["id"]] == row["label"] for row in rows) / len(rows)


def weights(home: Path) -> bytes:
    return ModelRegistry(home).open("topics").read("head.npz")


def counts(progress: PipelineProgress) -> tuple[int, int, int, int]:
    assert progress.state == "done", progress.error
    return progress.seen, progress.done, progress.unchanged, progress.quarantined


def test_it_trains_tests_and_labels_each_row_once(classify: Callable[..., PipelineProgress], tmp_path: Path) -> None:
    progress = classify()
    assert counts(progress) == (60, 60, 0, 0)
    totals = progress.totals()
    assert totals["accuracy"] > 0.9 < totals["macro_f1"]
    assert totals["train_rows"] + totals["test_rows"] == 240
    assert 25 <= totals["test_rows"] <= 75
    assert right(tmp_path) > 0.9
    assert [stage.name for stage in progress.stages] == ["learn from", "train", "predict", "store"]
    assert all(stage.waiting == stage.running == 0 for stage in progress.stages)
    version = ModelRegistry(tmp_path / "home").open("topics")
    assert version.manifest.metrics["accuracy"] == totals["accuracy"]
    assert version.read("confusion.png").startswith(b"\x89PNG")
    report = json.loads(version.read("report.json"))
    assert report["classes"] == ["animals", "earth", "money"]
    assert sum(map(sum, report["confusion"])) == totals["test_rows"]
    assert not list((tmp_path / "home" / "cache" / "training" / "topics").iterdir())


def test_loss_and_accuracy_are_shown_while_it_trains(
    classify: Callable[..., PipelineProgress], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    class Seen(StageProgress):
        def __setattr__(self, name: str, value: Any) -> None:
            if name == "doing" and value:
                said.append(value)
            super().__setattr__(name, value)

    monkeypatch.setattr(training, "StageProgress", Seen)
    progress = classify("checkpoint_s = 0.001\n")
    assert len(said) >= 3
    assert all(re.fullmatch(r"loss \d\.\d{4}, accuracy \d+\.\d%", words) for words in said)
    assert progress.doing == ""


def test_an_unchanged_run_trains_nothing_and_labels_only_what_is_new(
    classify: Callable[..., PipelineProgress], tmp_path: Path
) -> None:
    first = classify()
    model = weights(tmp_path / "home")
    put(tmp_path / "rows.jsonl", made_up(65, seed=2, words=6), labels=False)
    second = classify()
    assert counts(second) == (65, 5, 60, 0)
    assert second.figures == {**first.figures}
    assert [stage.done for stage in second.stages[:2]] == [0, 0]
    assert weights(tmp_path / "home") == model
    assert len(told(tmp_path)) == 65


def test_other_training_rows_are_another_version_and_label_everything_anew(
    classify: Callable[..., PipelineProgress], tmp_path: Path
) -> None:
    classify()
    put(tmp_path / "train.jsonl", made_up(241, seed=1))
    assert counts(classify()) == (60, 60, 0, 0)
    assert len(ModelRegistry(tmp_path / "home").versions("topics")) == 2


def test_the_same_seed_gives_the_same_model_in_another_home(
    classify: Callable[..., PipelineProgress], tmp_path: Path
) -> None:
    classify()
    first, labels = weights(tmp_path / "home"), told(tmp_path)
    shutil.rmtree(tmp_path / "home")
    os.remove(tmp_path / "labels.jsonl")
    classify()
    assert (weights(tmp_path / "home"), told(tmp_path)) == (first, labels)


def test_rows_that_cannot_be_learnt_from_are_in_quarantine_until_they_can(
    classify: Callable[..., PipelineProgress], tmp_path: Path
) -> None:
    rows = made_up(60, seed=1)
    bad: list[dict[str, Any]] = [
        {"id": "none", "text": "a zebra"},
        {"id": "empty", "text": " ", "label": "animals"},
        {"id": "list", "text": "a zebra", "label": ["animals"]},
        {"id": "single", "text": "a lonely one", "label": "lonely"},
        {"id": 3, "text": "again", "label": "animals"},
    ]
    put(tmp_path / "train.jsonl", [*rows, *bad])
    assert counts(classify()) == (60, 60, 0, 5)
    found = {item.source.rpartition("#")[2]: item for item in failed(tmp_path / "home")}
    assert set(found) == {"none", "empty", "list", "single", "3"}
    assert {item.stage for item in found.values()} == {"train"}
    assert "in the field label, got nothing" in found["none"].error
    assert "at least two rows of each class, got one of 'lonely'" in found["single"].error
    assert counts(classify()) == (60, 0, 60, 5)
    mended = [{**bad[0], "label": "animals"}, *bad[1:]]
    put(tmp_path / "train.jsonl", [*rows, *mended])
    again = classify()
    assert counts(again) == (60, 60, 0, 4)
    assert again.removed == 0
    assert len(failed(tmp_path / "home")) == 4


def test_labels_that_python_takes_for_equal_are_classes_of_their_own(
    classify: Callable[..., PipelineProgress], tmp_path: Path
) -> None:
    meant = {"animals": True, "money": 1, "earth": "1"}
    learnt = [{**row, "label": meant[row["label"]]} for row in made_up(240, seed=1)]
    put(tmp_path / "train.jsonl", [*learnt, {"id": "single", "text": "a zebra", "label": False}])
    assert counts(classify()) == (60, 60, 0, 1)
    rows = made_up(60, seed=2, words=6)
    said = told(tmp_path)
    right = sum(json.dumps(said[row["id"]]) == json.dumps(meant[row["label"]]) for row in rows)
    assert right >= 55
    assert {json.dumps(label) for label in said.values()} == {"true", "1", '"1"'}
    (refused,) = failed(tmp_path / "home")
    assert "got one of False" in refused.error


def test_rows_to_label_without_a_text_are_in_quarantine(
    classify: Callable[..., PipelineProgress], tmp_path: Path
) -> None:
    put(tmp_path / "rows.jsonl", [*made_up(5, seed=2), {"id": "x", "text": ""}], labels=False)
    assert counts(classify()) == (6, 5, 0, 1)
    assert [item.source.rpartition("#")[2] for item in failed(tmp_path / "home")] == ["x"]


@pytest.mark.parametrize("features", ["tfidf", "hashing"])
def test_words_do_without_an_embedder(classify: Callable[..., PipelineProgress], tmp_path: Path, features: str) -> None:
    progress = classify(f'features = "{features}"\n')
    assert counts(progress) == (60, 60, 0, 0)
    assert right(tmp_path) > 0.9
    files = set(ModelRegistry(tmp_path / "home").open("topics").manifest.files)
    assert ("vocabulary.json" in files) == (features == "tfidf")


def test_a_test_of_its_own_and_no_rows_to_label(classify: Callable[..., PipelineProgress], tmp_path: Path) -> None:
    put(tmp_path / "test.jsonl", [*made_up(50, seed=7), {"id": "o", "text": "other", "label": "other"}])
    table = TABLE.replace('source = "rows.jsonl"\n', "").replace('output = "labels.jsonl"\n', 'test = "test.jsonl"\n')
    progress = classify(table=table)
    assert counts(progress) == (0, 0, 0, 1)
    assert (progress.figures["train_rows"], progress.figures["test_rows"]) == (240, 50)
    assert not (tmp_path / "labels.jsonl").exists()


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([{"id": n, "text": f"text {n}", "label": "one"} for n in range(5)], "got one only: 'one'"),
        ([{"id": n, "text": f"text {n}", "label": f"l{n}"} for n in range(5)], "got none that can be used"),
    ],
)
def test_one_class_or_none_ends_the_pipeline(
    classify: Callable[..., PipelineProgress], tmp_path: Path, rows: list[dict[str, Any]], expected: str
) -> None:
    put(tmp_path / "train.jsonl", rows)
    progress = classify()
    assert progress.state == "failed"
    assert expected in progress.error


def test_rows_without_the_fields_are_refused_before_anything_starts(
    classify: Callable[..., PipelineProgress], tmp_path: Path
) -> None:
    put(tmp_path / "train.jsonl", made_up(5, seed=1), labels=False)
    with pytest.raises(ConfigError, match=r"topics\.train needs the field label, but the rows of train\.jsonl"):
        classify()
    assert not (tmp_path / "home").exists()


def test_a_damaged_model_is_trained_again(classify: Callable[..., PipelineProgress], tmp_path: Path) -> None:
    classify()
    version = ModelRegistry(tmp_path / "home").open("topics")
    before = version.read("head.npz")
    (version.folder / "head.npz").write_bytes(b"x")
    with pytest.raises(ModelFileError):
        version.verify()
    assert counts(classify()) == (60, 0, 60, 0)
    assert weights(tmp_path / "home") == before


def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenire.app.classify_runs.embed_here", embed_or_fail)


def test_texts_that_the_model_cannot_embed_are_left_out(
    classify: Callable[..., PipelineProgress], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = made_up(300, seed=1)  # in two parts
    put(tmp_path / "train.jsonl", rows)
    classify()
    expected = weights(tmp_path / "home")
    shutil.rmtree(tmp_path / "home")
    os.remove(tmp_path / "labels.jsonl")
    broken(monkeypatch)
    bad = [{"id": f"bad {one}", "text": f"cyanide {one}", "label": "money"} for one in range(3)]
    put(tmp_path / "train.jsonl", [bad[0], *rows[:200], bad[1], *rows[200:], bad[2]])
    assert counts(classify()) == (60, 60, 0, 3)
    assert weights(tmp_path / "home") == expected, "the version is that of a file without them"
    assert {item.error for item in failed(tmp_path / "home")} == {"ValueError: cyanide is nothing for me"}
    assert counts(classify()) == (60, 0, 60, 3)


def test_a_text_that_ends_the_models_worker_is_left_out(
    classify: Callable[..., PipelineProgress], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch)
    rows = [
        {"id": one, "text": f"{'gold bank' if one % 2 else 'bird nest'} {one}", "label": one % 2} for one in range(4)
    ]
    put(tmp_path / "train.jsonl", [*rows, {"id": "bad", "text": "arsenic", "label": 1}])
    assert counts(classify()) == (60, 60, 0, 1)
    (item,) = failed(tmp_path / "home")
    assert "worker" in item.error


ENGINE = """
import sys
from pathlib import Path
from tenire.app.config import load_config
from tenire.app.runs import run_config
from tenire.pipeline.run_tasks import RunTasks

left, submit = int(sys.argv[2]), RunTasks.submit

def counted(self, fn, *args, step, **options):
    global left
    if options.get("on") == "process":
        left -= 1
        if left < 0:
            import os, signal
            os.kill(os.getpid(), signal.SIGKILL)
    return submit(self, fn, *args, step=step, **options)

if __name__ == "__main__":
    RunTasks.submit = counted
    run_config(load_config(Path(sys.argv[1])))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is of POSIX")
def test_killed_at_any_task_it_ends_with_the_same_weights(
    classify: Callable[..., PipelineProgress], tmp_path: Path
) -> None:
    often = "checkpoint_s = 0.000001\nepochs = 6\n"
    classify(often)
    expected, labels = weights(tmp_path / "home"), told(tmp_path)
    shutil.rmtree(tmp_path / "home")
    os.remove(tmp_path / "labels.jsonl")
    script = tmp_path / "engine.py"
    script.write_text(ENGINE)
    ends = []
    for tasks in (0, 1, 3, 5):  # while texts are embedded, before, in and after training; each goes on where it was
        done = subprocess.run(
            [sys.executable, str(script), str(tmp_path / "tenire.toml"), str(tasks)],
            cwd=Path(__file__).resolve().parents[2], capture_output=True, text=True, check=False, timeout=240,
        )  # fmt: skip
        ends.append(done.returncode)
    assert ends[0] == -signal.SIGKILL
    assert counts(classify(often))[0] == 60
    assert (weights(tmp_path / "home"), told(tmp_path)) == (expected, labels)

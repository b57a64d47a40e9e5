"""Training rows that a server of embeddings can give no vector for: the rest is learnt from."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import pytest

from tenire.app.config import load_config
from tenire.app.inspect import failed, retry
from tenire.app.runs import run_config
from tenire.core.tasks import Retry
from tenire.llm.client import ChatClient
from tenire.ml import ModelRegistry
from tenire.testing import FakeModelServer

from .labelled import made_up, put

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tenire.pipeline.progress import PipelineProgress

pytest.importorskip("sklearn")


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    client = partial(ChatClient, retry=Retry(attempts=2, backoff=0.01))
    monkeypatch.setattr("tenire.llm.client.ChatClient", client)


@pytest.fixture
def classify(tmp_path: Path) -> Callable[..., PipelineProgress]:
    """Runs a pipeline that learns from ``train.jsonl`` and labels ``rows.jsonl``, with a server's vectors."""

    def run(server: FakeModelServer, home: str = "home", more: str = "") -> PipelineProgress:
        file = tmp_path / "tenire.toml"
        file.write_text(
            f'[tenire]\nhome = "{home}"\n[quotas.main]\nbase_url = "{server.base_url}"\n[pipelines.topics]\n'
            'recipe = "classify"\ntrain = "train.jsonl"\nsource = "rows.jsonl"\noutput = "labels.jsonl"\n'
            f'embedder = "openai:small"\nquota = "main"\nseed = 1\n{more}'
        )
        return run_config(load_config(file)).pipelines["topics"]

    put(tmp_path / "rows.jsonl", made_up(20, seed=2), labels=False)
    return run


def counts(progress: PipelineProgress) -> tuple[int, int, int, int]:
    assert progress.state == "done", progress.error
    return progress.seen, progress.done, progress.unchanged, progress.quarantined


@pytest.mark.parametrize("answer", ["400", "500", "drop"])
def test_rows_without_a_vector_are_in_quarantine_and_the_rest_is_learnt_from(
    tmp_path: Path, classify: Any, answer: Literal["400", "500", "drop"]
) -> None:
    rows = made_up(270, seed=1)  # in two parts, each with a bad one
    bad = [{"id": f"bad {one}", "text": f"cyanide {one}", "label": "money"} for one in range(2)]
    put(tmp_path / "train.jsonl", [bad[0], *rows, bad[1]])
    with FakeModelServer(dimensions=32, poison="cyanide", poison_answer=answer) as server:
        progress = classify(server)
        assert counts(progress) == (20, 20, 0, 2)
        assert progress.figures["train_rows"] + progress.figures["test_rows"] == 270
        assert all(stage.waiting == stage.running == 0 for stage in progress.stages)
        assert progress.stages[0].done == 270
        entries = failed(tmp_path / "home")
        assert {(entry.source.rpartition("#")[2], entry.stage, entry.attempts) for entry in entries} == {
            ("bad 0", "train", 1), ("bad 1", "train", 1),
        }  # fmt: skip
        assert all(answer.replace("drop", "closed without an answer") in entry.error for entry in entries)
        again = classify(server)
        assert counts(again) == (20, 0, 20, 2)
        assert (again.calls, failed(tmp_path / "home")) == (0, entries)
        # It is the model that a file without them makes.
        put(tmp_path / "train.jsonl", rows)
        assert counts(classify(server)) == (20, 0, 20, 0)
        (tmp_path / "labels.jsonl").unlink()
        assert classify(server, home="other").figures == progress.figures
        [kept] = ModelRegistry(tmp_path / "home").versions("topics")
        [other] = ModelRegistry(tmp_path / "other").versions("topics")
        assert (kept.label, kept.read("head.npz")) == (other.label, other.read("head.npz"))


def test_vectors_that_a_run_has_made_itself_are_no_saving_of_its_own(tmp_path: Path, classify: Any) -> None:
    rows = made_up(270, seed=1)
    put(tmp_path / "train.jsonl", [*rows[:200], {"id": "bad", "text": "cyanide", "label": "money"}])
    with FakeModelServer(dimensions=32, poison="cyanide", poison_answer="400") as server:
        progress = classify(server)
        assert counts(progress) == (20, 20, 0, 1)
        assert progress.cached_calls == 0
        put(tmp_path / "train.jsonl", [*rows, {"id": "bad", "text": "cyanide again", "label": "money"}])
        progress = classify(server)
        assert counts(progress) == (20, 20, 0, 1)
        assert progress.cached_calls == 220  # and not the 270 once more that were looked at again


def test_rows_without_a_vector_are_tried_again_when_that_is_asked_for(tmp_path: Path, classify: Any) -> None:
    poisonous = True
    put(tmp_path / "train.jsonl", [*made_up(60, seed=1), {"id": "bad", "text": "cyanide", "label": "money"}])

    def poison(prompt: str) -> bool:
        return poisonous and "cyanide" in prompt

    with FakeModelServer(dimensions=32, poison=poison, poison_answer="400") as server:
        assert counts(classify(server)) == (20, 20, 0, 1)
        [entry] = failed(tmp_path / "home")
        report = retry(tmp_path / "home", [entry.id], all_=False).report
        assert report is not None
        assert report.quarantined == 1
        [entry] = failed(tmp_path / "home")
        assert entry.attempts == 2
        poisonous = False
        assert counts(classify(server)) == (20, 0, 20, 1)  # nobody has asked for it
        report = retry(tmp_path / "home", [entry.id], all_=False).report
        assert report is not None
        assert report.quarantined == 0
        assert failed(tmp_path / "home") == []
        progress = classify(server)
        assert counts(progress) == (20, 20, 0, 0)
        assert progress.figures["train_rows"] + progress.figures["test_rows"] == 61


def test_a_class_that_has_one_row_left_is_no_class(tmp_path: Path, classify: Any) -> None:
    rare = [{"id": f"rare {one}", "text": f"{one} for the king", "label": "rare"} for one in ("cyanide", "sugar")]
    put(tmp_path / "train.jsonl", [*made_up(60, seed=1), *rare])
    put(tmp_path / "test.jsonl", [*made_up(20, seed=3), {"id": "t", "text": "cyanide here, too", "label": "money"}])
    with FakeModelServer(dimensions=32, poison="cyanide", poison_answer="400") as server:
        progress = classify(server, more='test = "test.jsonl"\n')
        assert counts(progress) == (20, 20, 0, 3)
        assert (progress.figures["train_rows"], progress.figures["test_rows"]) == (60, 20)
        why = {entry.source.rpartition("#")[2]: entry.error for entry in failed(tmp_path / "home")}
        assert set(why) == {"rare cyanide", "rare sugar", "t"}
        assert "at least two rows of each class" in why["rare sugar"]


def test_where_no_row_has_a_vector_the_pipeline_ends(tmp_path: Path, classify: Any) -> None:
    put(tmp_path / "train.jsonl", [{**row, "text": f"cyanide {row['text']}"} for row in made_up(60, seed=1)])
    with FakeModelServer(dimensions=32, poison="cyanide", poison_answer="400") as server:
        progress = classify(server)
        assert progress.state == "failed"
        assert "got none that can be used" in progress.error
        assert len(failed(tmp_path / "home")) == 60

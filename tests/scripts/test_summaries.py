from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING

import pytest

from tenire.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

BODY = "It says one thing after the other, and then says it again. " * 50


@pytest.fixture
def summaries(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("summaries")


@pytest.fixture
def documents(tmp_path: Path, script: Callable[[str], ModuleType]) -> object:
    """A corpus of two folders."""
    corpus = script("corpus")
    for part in ("manual", "notes"):
        (tmp_path / part).mkdir()
        for number in range(9):
            text = f"!Page {number} of {part}\n{'=' * 20}\n\n.. note::\n\nSee :ref:`that`. {BODY}"
            (tmp_path / part / f"{number}.rst").write_text(text, encoding="utf-8")
    (tmp_path / "manual" / "tiny.rst").write_text("Tiny", encoding="utf-8")
    return corpus.Corpus(
        "own", str(tmp_path), "", tuple(corpus.measure(tmp_path / part) for part in ("manual", "notes"))
    )


def test_a_few_documents_of_both_parts_are_cut_short_and_freed_of_markup(
    summaries: ModuleType, documents: object, tmp_path: Path
) -> None:
    made = summaries.prepare_rows(documents, tmp_path / "work", "home", pytest.fail)
    rows = [json.loads(line) for line in made.rows.read_text(encoding="utf-8").splitlines()]
    assert len({row["id"] for row in rows}) == summaries.DOCUMENTS
    assert sum(row["id"].startswith("notes") for row in rows) == summaries.DOCUMENTS // 2
    for row in rows:
        assert row["title"].startswith("Page ")
        assert len(row["text"]) <= summaries.CHARACTERS
        assert "See that. It says" in row["text"]
        assert "::" not in row["text"]
        assert "===" not in row["text"]


def test_the_same_documents_make_the_same_rows(summaries: ModuleType, documents: object, tmp_path: Path) -> None:
    first, second = (
        summaries.prepare_rows(documents, tmp_path / name, "home", pytest.fail).rows.read_bytes() for name in "ab"
    )
    assert first == second


def test_without_the_model_there_are_no_summaries_and_it_is_said_why(
    summaries: ModuleType, documents: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(_: str) -> Path:
        raise MissingExtraError("a model", extra="local-llm", missing="its weights")

    monkeypatch.setattr(summaries, "find_weights", absent)
    said: list[str] = []
    assert summaries.prepare_rows(documents, tmp_path / "work", "home", said.append) is None
    assert "its weights" in said[0]


def test_without_documents_that_fit_there_are_no_summaries(
    summaries: ModuleType, documents: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summaries, "SMALLEST", 1 << 20)
    said: list[str] = []
    assert summaries.prepare_rows(documents, tmp_path / "work", "home", said.append) is None
    assert said


def test_replies_are_shown_with_the_titles_of_their_documents(summaries: ModuleType, tmp_path: Path) -> None:
    made = summaries.Summaries(tmp_path / "rows.jsonl", tmp_path / "out.jsonl")
    assert made.read() == []
    made.rows.write_text('{"id": "a", "title": "A", "text": "x"}\n', encoding="utf-8")
    made.output.write_text('{"id": "a", "output": "About a."}\n', encoding="utf-8")
    assert made.read() == [("A", "About a.")]


def test_the_configuration_is_one_that_loads(
    summaries: ModuleType, documents: object, tmp_path: Path, script: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from tenire.app.config import load_config

    demo = script("demo")
    monkeypatch.setattr(demo, "DEMO", tmp_path / "demo")
    made = summaries.prepare_rows(documents, tmp_path / "work", "home", pytest.fail)
    file = demo.write_config(documents, tmp_path / "home", made)
    assert list(load_config(file).pipelines) == ["manual", "notes", "summaries"]
    assert tomllib.loads(file.read_text(encoding="utf-8"))["pipelines"]["summaries"]["priority"] == "low"

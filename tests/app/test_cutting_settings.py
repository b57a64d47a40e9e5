"""How a documents pipeline cuts, from the configuration to the passages in the store."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tenire.app.config import load_config
from tenire.app.config_schema import DocumentsPipeline
from tenire.app.document_settings import cutting_of, facts_of, pipeline_of
from tenire.app.pipelines import Pipeline
from tenire.app.search import search
from tenire.errors import ConfigError
from tenire.vectors.token_counts import count_tokens

from .conftest import ZEBRAS, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tenire.pipeline.progress import RunReport

    Run = Callable[..., RunReport]

DOCS = '[pipelines.docs]\nembedder = "static"\nsource = "docs"\n'


def settings(**keys: object) -> DocumentsPipeline:
    return DocumentsPipeline(source=("docs",), **keys)  # type: ignore[arg-type]


def test_a_passage_is_no_longer_than_its_embedder_reads() -> None:
    cutting = cutting_of(settings(), "minilm")
    assert (cutting.most, cutting.tokens) == (700, 254)
    assert cutting.count is not None
    assert cutting.count(["one two three"]) == [3]
    assert cutting_of(settings(), "static").tokens is None
    assert cutting_of(settings(), "openai:m").tokens is None


def test_passages_may_be_asked_for_in_tokens() -> None:
    cutting = cutting_of(settings(passage_tokens=100, overlap=0.25), "static")
    assert (cutting.tokens, cutting.overlap, cutting.counted_by, cutting.counted_from) == (100, 0.25, "static", 0.0)
    remote = cutting_of(settings(passage_tokens=100), "openai:m")
    assert (remote.tokens, remote.count) == (100, None)


def test_more_tokens_than_the_embedder_reads_are_refused() -> None:
    with pytest.raises(ConfigError, match="passage_tokens must be at most 254 for the embedder minilm"):
        cutting_of(settings(passage_tokens=255), "minilm")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("passage_tokens = 15", "pipelines.docs.passage_tokens must be a whole number from 16 to 8192, got 15"),
        ("passage_tokens = 1.5", "pipelines.docs.passage_tokens must be a whole number from 16 to 8192, got 1.5"),
        ("overlap = 0.6", "pipelines.docs.overlap must be a part, from 0 to 0.5, got 0.6"),
        ("overlap = true", "pipelines.docs.overlap must be a part, from 0 to 0.5, got true"),
        ("passage_token = 100", 'did you mean "passage_tokens"?'),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, run_toml: Run, line: str, message: str) -> None:
    write(tmp_path / "docs/a.txt", ZEBRAS)
    with pytest.raises(ConfigError, match=re.escape(message)):
        run_toml(f"{DOCS}{line}\n")
    assert not (tmp_path / "home").exists()


def test_both_ways_to_describe_a_pipeline_agree_and_are_remembered(tmp_path: Path) -> None:
    file = write(tmp_path / "tenire.toml", DOCS + "passage_tokens = 64\noverlap = 0.2\n")
    of_file = load_config(file).pipelines["docs"]
    assert Pipeline("docs", "docs", embedder="static", passage_tokens=64, overlap=0.2).settings() == of_file
    again = pipeline_of(facts_of(of_file))  # type: ignore[arg-type]
    assert (again.passage_tokens, again.overlap) == (64, 0.2)


def test_another_size_cuts_again_and_hits_tell_their_place(tmp_path: Path, run_toml: Run) -> None:
    text = f"# Animals\n\n## Striped\n\n{ZEBRAS}\n\n" + "Many other words follow here. " * 40
    write(tmp_path / "docs/a.md", text)
    assert run_toml(DOCS).pipelines["docs"].done == 1
    again = run_toml(f"{DOCS}passage_tokens = 48\n").pipelines["docs"]
    assert again.done == 1
    assert again.chunks > 4
    hit = search(tmp_path / "home", ZEBRAS, k=1, mode="text", exact=False, embedder=None).hits[0]
    assert list(hit.headings) == ["Animals", "Striped"]
    assert hit.lines is not None
    assert tuple(hit.lines) == (1, 5)
    assert count_tokens("static", [hit.text])[0] <= 48

"""Rows that a model on this machine is asked about."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tenire.app.config import load_config
from tenire.app.estimate import estimate
from tenire.app.runs import run_config
from tenire.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

CONFIGURATION = """
[tenire]
home = "home"
budget_usd = 0.0

[pipelines.p]
recipe = "chat"
source = "rows.jsonl"
model = "MODEL"
prompt = "Say this in other words: {text}"
max_output_tokens = 6
temperature = 0.0
output = "out.jsonl"
"""


@pytest.mark.slow
def test_a_model_on_this_machine_needs_no_quota_no_key_and_no_money(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"id": 1, "text": "Rain fell."}\n{"id": 2, "text": "Snow fell."}\n')
    (tmp_path / "tenire.toml").write_text(CONFIGURATION.replace("MODEL", "local"))
    config = load_config(tmp_path / "tenire.toml")
    assert estimate(config).cost_usd == 0
    progress = run_config(config).pipelines["p"]
    assert (progress.state, progress.done, progress.calls, progress.cost_usd) == ("done", 2, 2, 0)
    assert progress.output_tokens > 0
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert [record["id"] for record in records] == [1, 2]
    assert all(record["output"] for record in records)


def test_weights_that_are_not_there_are_refused_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"id": 1, "text": "Rain fell."}\n')
    (tmp_path / "tenire.toml").write_text(CONFIGURATION.replace("MODEL", "local:no.gguf"))
    with pytest.raises(ConfigError, match=r"no\.gguf"):
        run_config(load_config(tmp_path / "tenire.toml"))
    assert not (tmp_path / "home").exists()


def test_a_model_that_takes_more_than_there_is_is_refused_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"id": 1, "text": "Rain fell."}\n')
    text = CONFIGURATION.replace("MODEL", "local").replace("[tenire]", '[tenire]\nmemory = "100MiB"')
    (tmp_path / "tenire.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"takes about \d+ MiB of memory, .* shares out is 100 MiB") as caught:
        run_config(load_config(tmp_path / "tenire.toml"))
    assert caught.value.key == "memory"
    assert "memory = " in str(caught.value.hint)
    assert not (tmp_path / "home").exists()

"""What a pipeline tells of the calls of its client."""

from __future__ import annotations

from dataclasses import dataclass, fields
from types import SimpleNamespace
from typing import Any

from tenire.app.model_calls import counted
from tenire.llm.statistics import ChatStatistics
from tenire.pipeline.progress import PipelineProgress


@dataclass
class _Client:
    told: Any

    def statistics(self) -> Any:
        return self.told


def test_what_a_client_has_counted_is_told_of_its_pipeline() -> None:
    told = SimpleNamespace(**{field.name: number for number, field in enumerate(fields(ChatStatistics), start=5)})
    progress = PipelineProgress("summaries", unit="row")
    counted(_Client(told), progress, SimpleNamespace(used=2))  # type: ignore[arg-type]
    counters = {name for name in vars(told) if hasattr(progress, name)}
    assert counters >= {"calls", "retries", "input_tokens", "output_tokens", "cost_usd", "guessed_usd"}
    for name in counters - {"cached_calls"}:
        assert getattr(progress, name) == getattr(told, name)
    assert progress.cached_calls == told.cached_calls - 2, "what the run itself had made is no saving"
    assert progress.totals()["retries"] == told.retries

"""What is said of what cleaning found."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from tenire.cli.tables import run_notes, totals_table
from tenire.pipeline.progress import PipelineProgress, RunReport
from tenire.protocols import Findings


def test_what_cleaning_found_is_a_line_of_its_pipeline() -> None:
    found = PipelineProgress("docs\x1b")
    found.count_rejected({"min_text": 2})
    found.count_rejected({"function": 1})
    found.count_findings(Findings(masked=(("email", 1200), ("ip", 1)), similarity=0.95))
    found.count_findings(Findings(filtered="repeated_lines"))
    report = RunReport({each.name: each for each in (found, PipelineProgress("quiet"))}, 1.0, 1.0)
    assert run_notes(report) == [
        "docs\\x1b: refused 2 by min_text, 1 by function; left out 1 by repeated_lines; "
        "1 nearly the same as another; masked 1,200 email, 1 ip"
    ]


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"accuracy": 0.9376, "macro_f1": 0.9, "train_rows": 4000, "test_rows": 1200},
         ["topics: accuracy 93.8%, macro F1 90.0% on 1,200 rows"]),
        ({"mean_absolute_error": 1234.56, "labelled_rows": 2}, ["topics: mean absolute error 1,235 on 2 rows"]),
        ({"accuracy": None, "macro_f1": None, "test_rows": 0}, []),
        ({"loss": 0.5, "accuracy": 0.9}, []),
    ],
)  # fmt: skip
def test_how_good_a_model_is_is_told_at_the_end(figures: dict[str, Any], said: list[str]) -> None:
    topics = PipelineProgress("topics")
    topics.figures = figures
    assert run_notes(RunReport({"topics": topics}, 1.0, 1.0)) == said


def drawn(width: int) -> list[list[str]]:
    facts = {
        "state": "done", "seen": 12_345, "done": 12_337, "unchanged": 0, "quarantined": 8, "removed": 0,
        "skipped": 0, "chunks": 0, "calls": 12_337, "input_tokens": 987_654, "cost_usd": 12.5, "seconds": 9.5,
    }  # fmt: skip
    console = Console(file=io.StringIO(), width=width, color_system=None, legacy_windows=False)
    console.print(totals_table({f"summaries-of-the-long-list-{number}": facts for number in (1, 2)}))
    assert isinstance(console.file, io.StringIO)
    return [line.split() for line in console.file.getvalue().splitlines()]


def test_no_number_of_the_totals_is_cut_where_the_terminal_is_narrow() -> None:
    narrow = drawn(80)
    assert narrow[0] == ["pipeline", "seen", "done", "quarantined", "calls", "input", "tokens", "cost", "seconds"]
    assert narrow[1][:5] == ["summaries-…ist-1", "12,345", "12,337", "8", "12,337"]
    assert narrow[2][0] == "summaries-…ist-2"
    assert narrow[3][:2] == ["all", "24,690"]
    assert drawn(200)[0][3:7] == ["unchanged", "quarantined", "removed", "skipped"]

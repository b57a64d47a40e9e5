"""What is said of what cleaning found."""

from __future__ import annotations

from tenire.cli.tables import run_notes
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

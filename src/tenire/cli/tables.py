"""Tables and lists for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from tenire.cli.output import clean

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tenire.app.diagnosis import Diagnosis

__all__ = ["diagnosis_lines", "failed_lines", "totals_table"]

_COUNTERS = ("seen", "done", "unchanged", "quarantined", "removed", "skipped", "chunks")
_STATES = {"ok": "green", "warn": "yellow", "missing": "red"}


def totals_table(pipelines: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return one row of counters a pipeline, and their sums if there are several.

    Args:
        pipelines: Counters by pipeline name, as ``--json`` prints them.
    """
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("pipeline", style="bold", no_wrap=True, overflow="ellipsis", max_width=24)
    for name in (*_COUNTERS, "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, counters in pipelines.items():
        failed = counters.get("state") in ("failed", "cancelled")
        label = Text(clean(name), style="bold red" if failed else "bold")
        table.add_row(label, *(_cell(key, counters.get(key, 0)) for key in _COUNTERS), _seconds(counters))
    if len(pipelines) > 1:
        sums = {key: sum(int(counters.get(key) or 0) for counters in pipelines.values()) for key in _COUNTERS}
        table.add_row(Text("all", style="dim"), *(_cell(key, sums[key]) for key in _COUNTERS), "")
    return table


def _cell(key: str, count: Any) -> Text:
    style = "yellow" if key == "quarantined" and count else "dim" if not count else ""
    return Text(f"{int(count or 0):,}", style=style)


def _seconds(counters: Mapping[str, Any]) -> Text:
    seconds = counters.get("seconds")
    return Text(f"{seconds:,.1f}" if isinstance(seconds, (int, float)) else "")


def failed_lines(items: Iterable[Any]) -> list[RenderableType]:
    """Return the quarantine: an entry's head line, then its reason."""
    lines: list[RenderableType] = []
    for item in items:
        tries = "1 attempt" if item.attempts == 1 else f"{item.attempts} attempts"
        lines.append(
            Text.assemble(
                (clean(str(item.id)), "cyan"), "  ", (clean(item.source), "bold"),
                (f"  ({clean(item.pipeline)}, {clean(item.stage)}, {tries})", "dim"),
            )
        )  # fmt: skip
        lines.append(Text("    " + clean(item.error)))
    return lines


def diagnosis_lines(diagnosis: Diagnosis) -> list[RenderableType]:
    """Return the checks as a table, remedies below what they remedy, and the verdict."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in diagnosis.checks:
        found = Text(clean(check.found))
        if check.remedy:
            found.append(f"\n→ {clean(check.remedy)}", style="italic")
        table.add_row(Text(check.state, style=_STATES[check.state]), Text(check.name, style="bold"), found)
    verdict = "ready to ingest and search" if diagnosis.usable else "not ready: see the lines marked missing"
    return [table, "", verdict]

"""Tables and lists for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from tenire.cli.output import clean, human_bytes, human_usd, shortened
from tenire.llm.prices import AS_OF

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from tenire.app.diagnosis import Diagnosis
    from tenire.app.estimate import EstimateReport
    from tenire.pipeline.progress import RunReport

__all__ = ["diagnosis_lines", "estimate_lines", "failed_lines", "run_notes", "totals_table"]

_COUNTERS = ("seen", "done", "unchanged", "quarantined", "removed", "skipped", "chunks")
_OF_CALLS = (
    "calls", "cached_calls", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "cost_usd",
)  # fmt: skip
_ALWAYS = ("seen", "done")
_NAME, _SHORT_NAME = 24, 16
_ANY_WIDTH = 10_000
_REASONS = 5
_STATES = {"ok": "green", "warn": "yellow", "missing": "red"}


def totals_table(pipelines: Mapping[str, Mapping[str, Any]]) -> RenderableType:
    """Return one row of counters a pipeline, and their sums if there are several.

    Where that is too wide for the terminal, counters that are 0 everywhere are left out, and
    names are shortened: a number that is cut off is a wrong number.

    Args:
        pipelines: Counters by pipeline name, as ``--json`` prints them.
    """
    return _Totals(pipelines)


class _Totals:
    def __init__(self, pipelines: Mapping[str, Mapping[str, Any]]) -> None:
        self._pipelines = pipelines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        whole = _totals(self._pipelines, _COUNTERS, _NAME)
        if whole.__rich_measure__(console, options.update_width(_ANY_WIDTH)).maximum <= options.max_width:
            yield whole
            return
        counted = [
            key for key in _COUNTERS if key in _ALWAYS or any(each.get(key) for each in self._pipelines.values())
        ]
        yield _totals(self._pipelines, counted, _SHORT_NAME)


def _totals(pipelines: Mapping[str, Mapping[str, Any]], counters: Iterable[str], width: int) -> Table:
    counted = (*counters, *(key for key in _OF_CALLS if any(each.get(key) for each in pipelines.values())))
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("pipeline", style="bold", no_wrap=True)
    for name in (*counted, "seconds"):
        table.add_column(name.removesuffix("_usd").replace("_", " "), justify="right", no_wrap=True)
    for name, each in pipelines.items():
        failed = each.get("state") in ("failed", "cancelled")
        label = Text(shortened(clean(name), width), style="bold red" if failed else "bold")
        table.add_row(label, *(_cell(key, each.get(key, 0)) for key in counted), _seconds(each))
    if len(pipelines) > 1:
        sums = {key: sum(each.get(key) or 0 for each in pipelines.values()) for key in counted}
        table.add_row(Text("all", style="dim"), *(_cell(key, sums[key]) for key in counted), "")
    return table


def run_notes(report: RunReport) -> list[str]:
    """Return what is worth knowing of a run beside its counters: what limited it, what was refused, what was saved."""
    notes = []
    for name, progress in report.pipelines.items():
        words = []
        if (limiting := progress.limiting) is not None and progress.seconds and progress.done:
            share = min(1.0, limiting.busy_s / max(1, limiting.workers) / progress.seconds)
            words.append(f"slowest stage {clean(limiting.name)} ({share:.0%} of the time busy)")
        for what, counts in (("refused", progress.rejected), ("left out", progress.filtered)):
            if counts:
                most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
                words.append(f"{what} " + ", ".join(f"{count:,} by {clean(rule)}" for rule, count in most[:_REASONS]))
        if progress.duplicates:
            copies = "1 copy" if progress.duplicates == 1 else f"{progress.duplicates:,} copies"
            words.append(f"{copies} stored once ({human_bytes(progress.duplicate_bytes)} saved)")
        if progress.near_duplicates:
            words.append(f"{progress.near_duplicates:,} nearly the same as another")
        if progress.boilerplate_lines:
            words.append(f"took out {progress.boilerplate_lines:,} repeated lines")
        if progress.masked:
            words.append("masked " + ", ".join(f"{count:,} {kind}" for kind, count in progress.masked.items()))
        if progress.guessed_usd:
            words.append(f"{human_usd(progress.guessed_usd)} of what it cost is a guess, for calls that broke off")
        words += _how_good(progress.figures)
        if words:
            notes.append(f"{clean(name)}: {'; '.join(words)}")
    return notes


def _how_good(figures: Mapping[str, Any]) -> list[str]:
    """Return what is known of how good a model's results are."""
    rows = figures.get("labelled_rows") or figures.get("test_rows")
    known = []
    if figures.get("accuracy") is not None and figures.get("macro_f1") is not None:
        known.append(f"accuracy {figures['accuracy']:.1%}, macro F1 {figures['macro_f1']:.1%}")
    if (error := figures.get("mean_absolute_error")) is not None:
        known.append(f"mean absolute error {error:,.4g}")
    return [f"{', '.join(known)} on {rows:,} rows"] if known and rows else []


def _cell(key: str, count: Any) -> Text:
    style = "yellow" if key == "quarantined" and count else "dim" if not count else ""
    if key == "cost_usd":
        return Text(human_usd(count or 0.0), style=style)
    return Text(f"{int(count or 0):,}", style=style)


def _seconds(counters: Mapping[str, Any]) -> Text:
    seconds = counters.get("seconds")
    return Text(f"{seconds:,.1f}" if isinstance(seconds, (int, float)) else "")


def estimate_lines(report: EstimateReport) -> list[RenderableType]:
    """Return what a run would ask of models: a row a pipeline, and what it could cost."""
    if not report.pipelines and not report.not_estimated:
        return ["no pipeline calls a model: it costs nothing"]
    total = (
        "what it costs in all is not known" if report.cost_usd is None else f"{human_usd(report.cost_usd)} at the most"
    )
    total += f"; {human_usd(report.spent_usd)} was spent in this home so far"
    asked = any(each.calls for each in report.pipelines.values())
    if report.budget_usd is not None:
        total += f", of a budget of {human_usd(report.budget_usd)}"
        total += _too_small(report.budget_usd, report.needed_usd if asked else None, "\nthis budget can stop the run")
    if report.listed:
        models = ", ".join(map(clean, report.listed))
        total += f"\nprices of {models} as listed on {AS_OF}; where they have changed, give [quotas.NAME.price]"
    kept = sum(each.kept for each in report.pipelines.values())
    free = [f"replies to {kept:,} of the rows are kept in this home: they cost nothing"] if kept else []
    others = [
        f"not estimated: {clean(name)}, which embeds with {clean(embedder)}"
        for name, embedder in report.not_estimated.items()
    ]
    own = [
        f"{clean(name)} has spent {human_usd(each.spent_usd)} of a budget of its own of {human_usd(each.budget_usd)}"
        + _too_small(each.budget_usd, each.needed_usd if each.calls else None, ", which can stop it")
        for name, each in report.pipelines.items()
        if each.budget_usd is not None
    ]
    rows = [_estimate_table(report)] if report.pipelines else []
    return [*rows, *free, *others, *own, total, "nothing was sent"]


def _too_small(budget: float, needed: float | None, told: str) -> str:
    """Return what is to be told of a budget that is smaller than the one that it takes, and nothing of another."""
    if needed is None or needed <= budget:
        return ""
    enough = human_usd(needed, enough=True)
    return f"{told}: it takes {enough}, since while a call is under way a quarter more for its prompt is set aside"


def _estimate_table(report: EstimateReport) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("pipeline", style="bold", no_wrap=True, overflow="ellipsis", max_width=24)
    for name in (
        "rows",
        "to ask",
        "unchanged",
        "quarantined",
        "input tokens",
        "output tokens",
        "cost",
    ):
        table.add_column(name, justify="right", no_wrap=True)
    for name, each in report.pipelines.items():
        counts = (each.seen, each.calls, each.unchanged, each.quarantined, each.input_tokens, each.output_tokens)
        table.add_row(clean(name), *(f"{count:,}" for count in counts), _cost(each.cost_usd))
    return table


def _cost(usd: float | None) -> str:
    return "price not known" if usd is None else human_usd(usd)


def failed_lines(items: Iterable[Any]) -> list[RenderableType]:
    """Return the quarantine: an entry's head line, then its reason."""
    lines: list[RenderableType] = []
    for item in items:
        tries = "1 attempt" if item.attempts == 1 else f"{item.attempts} attempts"
        lines.append(
            Text.assemble(
                (clean(str(item.id)), "cyan"), "  ", (clean(item.source), "bold"),
                (f"  ({clean(item.pipeline)}, {clean(_refused_by(item))}, {tries})", "dim"),
            )
        )  # fmt: skip
        lines.append(Text("    " + clean(item.error)))
    return lines


def _refused_by(item: Any) -> str:
    return f"{item.stage}: {item.rule}" if item.rule else item.stage


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

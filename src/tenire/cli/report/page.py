"""The page about a run: one HTML file that needs nothing else, in light and in dark."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from tenire.cli.output import clean, human_seconds
from tenire.cli.report.history import Moment
from tenire.cli.report.plots import Line, bars, line_plot
from tenire.cli.report.style import STYLE
from tenire.pipeline.progress import PipelineProgress, RunReport

__all__ = ["page", "write_page"]

_STATES = {"done": "good", "failed": "bad", "cancelled": "fair"}


def write_page(path: Path, report: RunReport, moments: Sequence[Moment]) -> None:
    """Write the page, whole or not at all; into a device or pipe as it is.

    Raises:
        OSError: If it cannot be written.
    """
    path = path.resolve()  # a link stays, and what it leads to is written
    if path.exists() and not path.is_file():
        path.write_text(page(report, moments), encoding="utf-8")
        return
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(page(report, moments), encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def page(report: RunReport, moments: Sequence[Moment]) -> str:
    """Return the page as HTML.

    Args:
        report: What the run did.
        moments: How it went, oldest first; may be empty.
    """
    sections = "".join(_pipeline(progress, moments) for progress in report.pipelines.values())
    memory = [(moment.at, moment.memory / 2**20) for moment in moments if moment.memory]
    if len(memory) > 1:
        plot = line_plot([Line("engine and workers", memory)], label="memory over time", unit="MiB", filled=True)
        sections += f"<section><h2>Memory</h2>{plot}</section>"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>Tenire: run report</title><style>{STYLE}</style></head><body><main>"
        f"<header><h1>Run report</h1>{_cards(report)}</header>{sections}"
        "<footer>Made by Tenire. This page loads nothing and runs no script.</footer></main></body></html>\n"
    )


def _cards(report: RunReport) -> str:
    pipelines = report.pipelines.values()
    read = sum(progress.bytes_done for progress in pipelines)
    cards = [
        (human_seconds(report.seconds), "in all"),
        (f"{sum(progress.finished for progress in pipelines):,}", "files and rows through"),
        (f"{sum(progress.chunks for progress in pipelines):,}", "passages stored"),
        (f"{read / 1e6:,.1f} MB", "gone through"),
        (f"{report.peak_rss_mib:,.0f} MiB", "peak memory"),
    ]
    if report.quarantined:
        cards.append((f"{report.quarantined:,}", "in quarantine"))
    return _grid(cards)


def _grid(cards: Sequence[tuple[str, str]]) -> str:
    inside = "".join(
        f'<div class="card"><b>{escape(value)}</b><span>{escape(name)}</span></div>' for value, name in cards
    )
    return f'<div class="cards">{inside}</div>'


def _pipeline(progress: PipelineProgress, moments: Sequence[Moment]) -> str:
    state = progress.shown_state
    parts = [
        f'<section><h2>{escape(clean(progress.name))} <span class="state {_STATES.get(state, "fair")}">'
        f"{escape(state)}</span></h2>"
    ]
    if progress.error:
        parts.append(f'<p class="error">{escape(clean(progress.error))}</p>')
    parts.append(_grid(_counts(progress)))
    if len(moments) > 1:
        reached = [(moment.at, float(moment.finished.get(progress.name, 0))) for moment in moments]
        unit = f"{progress.unit}s through"
        parts.append(line_plot([Line(unit, reached)], label=f"{unit} over time", unit=f"{progress.unit}s", filled=True))
        # Files are in the plot above, and other units would not share its axis.
        last = progress.stages[-1].unit if progress.stages else ""
        lines = [
            Line(clean(stage.name), _through(moments, (progress.name, stage.name)))
            for stage in progress.stages
            if stage.unit == last and stage.unit != progress.unit
        ]
        if lines:
            parts.append(f"<h3>{escape(last.capitalize())}s through the stages</h3>")
            parts.append(line_plot(lines, label=f"{last}s through each stage over time", unit=f"{last}s"))
    parts.append(_stages(progress))
    for title, counts in _reasons(progress):
        most = sorted(counts.items(), key=lambda item: -item[1])
        parts.append(f"<h3>{escape(title)}</h3>")
        parts.append(bars([(clean(name), count, f"{count:,}") for name, count in most], label=title))
    parts.append("</section>")
    return "".join(parts)


def _counts(progress: PipelineProgress) -> list[tuple[str, str]]:
    unit = progress.unit
    counts = [
        (progress.done, f"{unit}s done"), (progress.unchanged, "unchanged"), (progress.removed, "removed"),
        (progress.quarantined, "in quarantine"), (progress.skipped, "skipped"), (progress.chunks, "passages stored"),
        (progress.duplicates, "exact copies, stored once"), (progress.near_duplicates, "nearly the same"),
        (progress.calls, "calls"), (progress.cached_calls, "answered without a call"),
    ]  # fmt: skip
    cards = [(f"{count:,}", name) for count, name in counts if count]
    if progress.duplicate_bytes:
        cards.append((f"{progress.duplicate_bytes / 1e6:,.2f} MB", "saved by copies"))
    if progress.cost_usd:
        cards.append((f"${progress.cost_usd:,.4f}", "spent"))
    return cards


def _reasons(progress: PipelineProgress) -> list[tuple[str, Mapping[str, int]]]:
    named = (
        ("Refused, by reason", progress.rejected),
        ("Left out for their quality, by rule", progress.filtered),
        ("Masked, by kind", progress.masked),
    )
    return [(title, counts) for title, counts in named if counts]


def _stages(progress: PipelineProgress) -> str:
    """Return how long each stage was busy, and which one limited the run."""
    limiting = progress.limiting
    if limiting is None:
        return ""
    rows = [
        (
            clean(stage.name),
            stage.busy_s / max(1, stage.workers),
            f"{human_seconds(stage.busy_s / max(1, stage.workers))}, {stage.done:,} {stage.unit}s",
        )
        for stage in progress.stages
    ]
    share = 100 * limiting.busy_s / max(1, limiting.workers) / progress.seconds if progress.seconds else 0.0
    said = (
        f"<p>The slowest stage was <b>{escape(clean(limiting.name))}</b>: "
        f"it was busy for {min(share, 100):.0f} % of the run.</p>"
    )
    plot = bars(rows, label="how long each stage was busy", marked=clean(limiting.name))
    return f"<h3>What limited it: how long each stage was busy</h3>{said}{plot}"


def _through(moments: Sequence[Moment], key: tuple[str, str]) -> list[tuple[float, float]]:
    return [(moment.at, float(moment.done.get(key, 0))) for moment in moments]

"""What ``tenire top`` shows of a view, as texts: pure, so that it can be checked without a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from tenire.cli.output import clean, human_bytes, human_seconds, human_usd, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenire.app.feed import Happened, Quarantined, View
    from tenire.app.published import PublishedPipeline

__all__ = ["COLUMNS", "MOST", "NUMBERS", "detail", "event", "fitted", "headline", "item", "row"]

COLUMNS = (
    ("pipeline", 15), ("state", 11), ("", 13), ("done", 12), ("per s", 7), ("left", 7), ("queue", 6), ("failed", 6),
    ("cost", 7), ("priority", 8), ("weight", 6),
)  # fmt: skip
"""Headings of the table and their widths: with a cell on either side of each, 120 together, till numbers are longer."""

NUMBERS = ("done", "per s", "left", "queue", "failed", "cost", "weight")
"""Those of the columns that stand to the right, and grow with their numbers."""

MOST = 24
"""Cells that such a column grows to: what is longer ends in an ellipsis."""

_STYLES = {
    "running": "bold cyan", "watching": "green", "done": "green", "paused": "yellow", "cancelled": "yellow",
    "interrupted": "yellow", "failed": "bold red",
}  # fmt: skip
_SEVERITIES = {"good": "green", "warning": "yellow", "bad": "bold red"}
_BAR = 7
_FULL, _EMPTY = "━", "─"  # told apart without colours too: the chosen row has only one


def headline(view: View) -> Text:
    """Return the lines above the table: the link, and how the machine fares."""
    engine = view.engine
    home = clean(view.shown_home)
    if not view.attached or engine is None:
        style = "bold red" if view.link == "silent" else "yellow"
        told = Text().append(f"{clean(view.note)}\n", style)
        return told.append(f"{home}: {view.documents:,} documents, {view.passages:,} passages", "dim")
    cpu = engine.resources.get("cpu")
    cost = sum(pipeline.totals.get("cost_usd", 0.0) for pipeline in view.pipelines.values())
    parts = [
        f"load {engine.level}",
        f"cpu {cpu.held:g} of {cpu.capacity:g}" if cpu is not None else "",
        f"memory {human_bytes(engine.resident)}" if engine.resident else "",
        f"tasks {engine.running:,} running, {engine.queued:,} waiting",
        f"workers {engine.workers.processes}",
        f"spent {human_usd(cost)}" if cost else "",
    ]
    text = Text().append(f"{home}  ", "bold")
    text.append(" · ".join(part for part in parts if part), "")
    quotas = [
        f"{clean(name)}: "
        + ", ".join(
            f"{metric.replace('_', ' ')} {used.spent:,}" + (f"/{used.limit:,}" if used.limit else "")
            for metric, used in quota.metrics.items()
        )
        + (f", paused for {quota.pause} s" if quota.pause else "")
        for name, quota in engine.quotas.items()
    ]
    ill = [f"{clean(name)} is {part.health}" for name, part in engine.components.items() if part.health != "healthy"]
    if ill:
        text.append(f"\n{', '.join(ill)}", "bold red")
    second = "quota " + " · ".join(quotas) if quotas else clean(engine.reason or "")
    return text.append(f"\n{second}", "dim")


def row(name: str, view: View) -> list[Text]:
    """Return the cells of one pipeline."""
    pipeline = view.pipelines[name]
    rate = view.rates.get(name)
    totals = pipeline.totals
    moving = rate is not None and pipeline.state in ("running", "watching")
    left = rate.left if rate is not None and moving and rate.left else None
    counts = f"{pipeline.finished:,}"
    if pipeline.expected > pipeline.finished:
        counts += f"/{pipeline.expected:,}"
    if pipeline.state == "interrupted" and not max(pipeline.finished, pipeline.expected):
        counts = ""  # whoever is killed tells no totals
    state = "no provider" if pipeline.breaker == "open" else pipeline.state
    return [
        _cell(shortened(clean(name), COLUMNS[0][1])),
        _cell(state, "bold red" if pipeline.breaker == "open" else _STYLES.get(pipeline.state, "dim")),
        _bar(pipeline),
        _cell(counts, number=True),
        _cell(f"{rate.items:,.1f}" if rate is not None and moving else "", number=True),
        _cell(human_seconds(left) if left else "", number=True),
        _cell(f"{pipeline.queued:,}" if pipeline.queued else "", number=True),
        _cell(f"{totals['quarantined']:,}" if totals.get("quarantined") else "", "yellow", number=True),
        _cell(human_usd(totals["cost_usd"]) if totals.get("cost_usd") else "", number=True),
        _cell(pipeline.priority),
        _cell(f"{pipeline.weight:g}" if pipeline.priority else "", number=True),
    ]


def _cell(text: str, style: str = "", *, number: bool = False) -> Text:
    # Folded, as is rich's default, a number that is too long would lose its last digits without a sign.
    return Text(text, style, justify="right" if number else None, overflow="ellipsis", no_wrap=True)


def fitted(needed: Sequence[int], room: int) -> list[int]:
    """Return the widths of the columns, with so many cells in sight.

    The column of numbers that the edge would cut is made so much wider that its numbers, which stand to the right,
    begin behind it: of ``10:00:00`` there would be ``10:00`` to read.

    Args:
        needed: The width of each column, without the cell on either side of it.
        room: The cells of the terminal.
    """
    widths, begin = list(needed), 1
    for at, (heading, _) in enumerate(COLUMNS):
        if heading in NUMBERS and begin < room < begin + widths[at]:
            widths[at] += room - begin
            break
        begin += widths[at] + 2
    return widths


def _bar(pipeline: PublishedPipeline) -> Text:
    part = pipeline.fraction
    if part is None:
        return Text("·" * _BAR if pipeline.state == "running" else "", "dim")
    full = int(part * _BAR)
    text = Text(_FULL * full, "green" if part >= 1 else "cyan")
    return text.append(_EMPTY * (_BAR - full), "bright_black").append(f" {int(100 * part):>3} %", "")


def detail(name: str, view: View, *, width: int) -> Text:
    """Return what is told of one pipeline: its error, its stages, and tasks with what holds them back.

    The first line has what stands at the right of the table too, where narrow terminals cut it off. A task has a line
    of so many cells, and ``why`` tells all of it.
    """
    pipeline = view.pipelines[name]
    totals = pipeline.totals
    words = [
        f"priority {pipeline.priority}" if pipeline.priority else "",
        f"weight {pipeline.weight:g}" if pipeline.priority else "",
        f"{totals['quarantined']:,} in quarantine" if totals.get("quarantined") else "",
        f"{totals['calls']:,} calls" if totals.get("calls") else "",
        human_usd(totals["cost_usd"]) if totals.get("cost_usd") else "",
        {"open": "the provider is down", "half_open": "the provider is being tried"}.get(pipeline.breaker, ""),
    ]
    text = Text().append(clean(name), "bold").append(f"  {', '.join(word for word in words if word)}", "dim")
    if pipeline.totals.get("error"):
        text.append(f"\n{clean(str(pipeline.totals['error']))}", "red")
    for stage in pipeline.stages:
        counts = f"{stage.done:>12,} done {stage.waiting:>9,} waiting {stage.running:>7,} running"
        text.append(f"\n{clean(stage.name):<12}{counts}")
    for task in pipeline.tasks[:8]:
        what = clean(task.name.removeprefix(f"{name}: "))
        why = f": {clean(task.reason)}" if task.state != "running" else ""
        line = Text(f"{task.id:<8} {task.state:<8} {what}{why}", "dim")
        line.truncate(width, overflow="ellipsis")
        text.append("\n").append(line)
    return text


def event(happened: Happened, clock: str) -> Text:
    """Return the line of an event; ``clock`` is its time for people."""
    return Text(f"{clock}  ", "dim").append(clean(happened.text), _SEVERITIES.get(happened.severity, ""))


def item(entry: Quarantined) -> Text:
    """Return the line of an entry of the quarantine."""
    text = Text(f"{entry.id:<6} {clean(entry.source)}", "yellow" if not entry.retrying else "dim")
    told = "the next run tries it again" if entry.retrying else f"{entry.stage}: {clean(entry.error)}"
    return text.append(f"\n       {clean(entry.pipeline)}, {told}", "dim")

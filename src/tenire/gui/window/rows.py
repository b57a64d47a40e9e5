"""What the tables of the window show: records of a view, and their columns."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from tenire.app.printable import clean
from tenire.gui.binding import QtCore
from tenire.gui.records import RECORD_ROLE, Column
from tenire.gui.window.texts import ABSENT, amount, clock_time, count, money, per_second, percent, size, span
from tenire.gui.window.theme import Theme, dot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tenire.app.feed import Happened, Quarantined, Rate, View
    from tenire.app.published import PublishedComponent, PublishedPipeline, PublishedTask
    from tenire.gui.binding import QtGui

__all__ = [
    "BAR_ROLE", "Limit", "Part", "PipelineLine", "TaskLine", "event_columns", "headline", "limit_columns", "limits",
    "part_columns", "parts", "pipeline_columns", "pipelines", "quarantine_columns", "task_columns", "tasks",
]  # fmt: skip

BAR_ROLE = RECORD_ROLE + 1
"""A part of one that is drawn as a bar, and the severity that gives it its colour."""

_ICON = int(QtCore.Qt.ItemDataRole.DecorationRole.value)
_STATES = {
    "running": "info", "done": "good", "watching": "good", "paused": "warning", "waiting": "muted",
    "failed": "bad", "cancelled": "warning", "interrupted": "warning",
}  # fmt: skip
_LONG = 10_000
_BREAKERS = {"": ABSENT, "closed": "answers", "open": "down", "half_open": "being tried"}
_HEALTH = {"healthy": "good", "unsteady": "warning", "down": "bad", "failed": "bad"}


class PipelineLine(NamedTuple):
    """One pipeline, and how fast it is."""

    name: str
    pipeline: PublishedPipeline
    rate: Rate | None


class TaskLine(NamedTuple):
    """One task of a pipeline."""

    pipeline: str
    task: PublishedTask


class Limit(NamedTuple):
    """One thing that is shared out: a resource, or what a quota limits."""

    name: str
    what: str
    used: float
    limit: float | None
    note: str


class Part(NamedTuple):
    """One component of the engine."""

    name: str
    state: PublishedComponent


# -- records ---------------------------------------------------------------------


def pipelines(view: View) -> dict[str, PipelineLine]:
    """Return the pipelines of a view."""
    return {name: PipelineLine(name, each, view.rates.get(name)) for name, each in view.pipelines.items()}


def tasks(view: View) -> dict[str, TaskLine]:
    """Return the tasks of a view; without an engine there are none."""
    if not view.attached:
        return {}
    return {task.id: TaskLine(name, task) for name, each in view.pipelines.items() for task in each.tasks}


def limits(view: View) -> dict[tuple[str, str], Limit]:
    """Return what is shared out."""
    engine = view.engine
    if engine is None or not view.attached:
        return {}
    found = [
        Limit("this machine", name, each.held, each.capacity, "")
        for name, each in engine.resources.items()
        if name.partition("/")[0] not in engine.quotas  # told below, in the quota's own words
    ]
    for name, quota in engine.quotas.items():
        note = f"{count(quota.waiting)} wait, {count(quota.refused)} refused"
        if quota.pause:
            note += f"; the provider takes calls again in {span(quota.pause)}"
        found.append(Limit(name, "calls under way", quota.in_flight, quota.slots, note))
        found += [Limit(name, f"{what} a minute", used.spent, used.limit, "") for what, used in quota.metrics.items()]
    return {(each.name, each.what): each for each in found}


def parts(view: View) -> dict[str, Part]:
    """Return the components of the engine."""
    if view.engine is None or not view.attached:
        return {}
    return {name: Part(name, state) for name, state in view.engine.components.items()}


# -- columns ---------------------------------------------------------------------


def _icons(theme: Theme) -> Callable[[str], QtGui.QIcon]:
    made: dict[str, QtGui.QIcon] = {}
    colours = {"info": theme.accent, "muted": theme.muted}

    def icon(severity: str) -> QtGui.QIcon:
        if severity not in made:
            made[severity] = dot(colours.get(severity) or theme.of(severity))
        return made[severity]

    return icon


def pipeline_columns(theme: Theme) -> tuple[Column[PipelineLine], ...]:
    """Return the columns of pipelines."""
    icon = _icons(theme)

    def severity(line: PipelineLine) -> str:
        return _STATES.get(line.pipeline.state, "muted")

    def done(line: PipelineLine) -> str:
        each = line.pipeline
        # Two long numbers leave no room for the word, which the tip has.
        return _done(each, short=each.expected > each.finished and each.expected >= _LONG)

    def counter(name: str) -> dict[str, Any]:
        return {
            "text": lambda line: count(line.pipeline.totals.get(name, 0)) if line.pipeline.totals.get(name) else ABSENT,
            "number": True,
        }

    def cost(line: PipelineLine) -> float:
        return float(line.pipeline.totals.get("cost_usd") or 0.0)

    def error(line: PipelineLine) -> str:
        return clean(str(line.pipeline.totals.get("error") or ""))

    def items(line: PipelineLine) -> str:
        return per_second(line.rate.items) if line.rate is not None else ABSENT

    return (
        Column("Pipeline", lambda line: line.name, tip=lambda line: line.name),
        Column(
            "State",
            lambda line: line.pipeline.state.replace("_", " ") or ABSENT,
            tip=error,
            data={_ICON: lambda line: icon(severity(line))},
        ),
        Column(
            "Progress",
            lambda line: percent(line.pipeline.fraction),
            data={BAR_ROLE: lambda line: (line.pipeline.fraction, severity(line))},
            tip=_stages,
        ),
        Column("Done", done, number=True, tip=lambda line: _done(line.pipeline)),
        Column("Speed", items, number=True),
        Column("Left", lambda line: span(line.rate.left) if line.rate is not None else ABSENT, number=True),
        Column("Running", lambda line: count(line.pipeline.running), number=True),
        Column("Waiting", lambda line: count(line.pipeline.queued), number=True),
        Column("Quarantine", **counter("quarantined")),
        Column("Calls", **counter("calls")),
        Column("Cost", lambda line: money(cost(line)), number=True),
        Column("Provider", lambda line: _BREAKERS.get(line.pipeline.breaker, line.pipeline.breaker)),
        Column("Priority", lambda line: line.pipeline.priority or ABSENT),
        Column("Weight", lambda line: f"{line.pipeline.weight:g}" if line.pipeline.priority else ABSENT, number=True),
    )


def _done(each: PublishedPipeline, *, short: bool = False) -> str:
    most = max(each.finished, each.expected)
    if each.state == "interrupted" and not most:
        return ABSENT  # whoever is killed tells no totals
    of = f" of {count(each.expected)}" if each.expected > each.finished else ""
    unit = "" if short else f" {each.unit}{'' if most == 1 else 's'}"
    return f"{count(each.finished)}{of}{unit}"


def _stages(line: PipelineLine) -> str:
    return "\n".join(
        f"{stage.name}: {count(stage.done)} done, {count(stage.waiting)} waiting, {stage.running} in work"
        for stage in line.pipeline.stages
    )


def task_columns(theme: Theme) -> tuple[Column[TaskLine], ...]:
    """Return the columns of tasks."""
    icon = _icons(theme)
    return (
        Column("Task", lambda line: line.task.id),
        Column("Pipeline", lambda line: line.pipeline),
        Column(
            "State",
            lambda line: line.task.state,
            data={_ICON: lambda line: icon("info" if line.task.state == "running" else "muted")},
        ),
        Column("Name", _task_name, tip=_task_name),
        Column("Why it is there", _reason, tip=_reason),
    )


def _task_name(line: TaskLine) -> str:
    return clean(line.task.name.removeprefix(f"{line.pipeline}: "))


def _reason(line: TaskLine) -> str:
    return clean(line.task.reason)


def limit_columns(theme: Theme) -> tuple[Column[Limit], ...]:
    """Return the columns of what is shared out."""
    del theme

    def part(line: Limit) -> float | None:
        return min(1.0, line.used / line.limit) if line.limit else None

    def used(line: Limit) -> str:
        of = f" of {amount(line.what, line.limit)}" if line.limit is not None else ", no limit known"
        return amount(line.what, line.used) + of

    def severity(line: Limit) -> str:
        return "warning" if (part(line) or 0.0) >= 0.97 else "info"

    return (
        Column("Of", lambda line: line.name),
        Column("What", lambda line: line.what),
        Column("Used", lambda line: percent(part(line)), data={BAR_ROLE: lambda line: (part(line), severity(line))}),
        Column("Amount", used, number=True),
        Column("", lambda line: line.note, tip=lambda line: line.note),
    )


def event_columns(theme: Theme) -> tuple[Column[Happened], ...]:
    """Return the columns of events."""
    icon = _icons(theme)
    return (
        Column(
            "Time", lambda event: clock_time(event.at), data={_ICON: lambda event: icon(_muted_info(event.severity))}
        ),
        Column("About", lambda event: event.about or event.kind),
        Column("What happened", lambda event: clean(event.text), tip=lambda event: clean(event.text)),
    )


def _muted_info(severity: str) -> str:
    return "muted" if severity == "info" else severity


def quarantine_columns(theme: Theme) -> tuple[Column[Quarantined], ...]:
    """Return the columns of the quarantine."""
    icon = _icons(theme)
    return (
        Column(
            "Source",
            lambda entry: clean(_short(entry.source)),
            tip=lambda entry: clean(entry.source),
            data={_ICON: lambda entry: icon("info" if entry.retrying else "bad")},
        ),
        Column("Pipeline", lambda entry: entry.pipeline),
        Column("Stage", lambda entry: entry.stage),
        Column("Tries", lambda entry: count(entry.attempts), number=True),
        Column("Last", lambda entry: clock_time(entry.at)),
        Column(
            "What went wrong",
            lambda entry: ("will be tried again: " if entry.retrying else "") + clean(entry.error),
            tip=lambda entry: clean(entry.error),
        ),
    )


def _short(source: str) -> str:
    head, name = os.path.split(source)
    return f"{os.path.basename(head)}/{name}" if head else name


def part_columns(theme: Theme) -> tuple[Column[Part], ...]:
    """Return the columns of the engine's components."""
    icon = _icons(theme)
    return (
        Column("Component", lambda part: part.name),
        Column(
            "Health",
            lambda part: part.state.health,
            data={_ICON: lambda part: icon(_HEALTH.get(part.state.health, "muted"))},
        ),
        Column("Restarts", lambda part: count(part.state.restarts), number=True),
        Column("Last failure", lambda part: _failure(part) or ABSENT, tip=_failure),
    )


def _failure(part: Part) -> str:
    return clean(part.state.error or "")


def headline(view: View) -> Mapping[str, str]:
    """Return the figures of the header, by caption."""
    engine = view.engine if view.attached else None
    resident = size(engine.resident) if engine is not None and engine.resident else ABSENT
    cost = sum(float(each.totals.get("cost_usd") or 0.0) for each in view.pipelines.values())
    return {
        "tasks running": count(engine.running) if engine is not None else ABSENT,
        "tasks waiting": count(engine.queued) if engine is not None else ABSENT,
        "load of the machine": engine.level if engine is not None else ABSENT,
        "memory": resident,
        "processes, threads": _workers(view),
        "cost": money(cost),
        "documents": count(view.documents),
        "in quarantine": count(view.quarantined),
    }


def _workers(view: View) -> str:
    if view.engine is None or not view.attached:
        return ABSENT
    workers = view.engine.workers
    return f"{workers.processes}, {workers.threads_busy}"

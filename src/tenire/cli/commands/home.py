"""``status``, ``failed``, ``retry``, ``verify`` and ``compact``: what a home holds."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tenire.cli.common import Settings
from tenire.cli.output import clean, human_bytes
from tenire.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["compact", "failed", "retry", "status", "verify"]

_MOST_DETAILS = 10


def status(settings: Settings) -> int:
    """Show what is running and what the home holds."""
    home = settings.home_path()
    from tenire.app.inspect import status as read

    facts = read(home)
    output = settings.output
    if output.as_json:
        output.json(facts)
        return 0
    from tenire.cli.tables import totals_table

    output.show(f"{home}: {_engine(facts)}", *_ailing(facts), *_holdings(facts), *_quotas(facts))
    pipelines: dict[str, dict[str, Any]] = facts.get("pipelines", {})
    if pipelines:
        output.show("", totals_table(pipelines), *_unusual(pipelines))
    tasks = [_task(name, task) for name, pipeline in pipelines.items() for task in pipeline.get("tasks", ())]
    if tasks:
        output.show("", *tasks)
    return 0


def _engine(facts: dict[str, Any]) -> str:
    if not facts.get("running"):
        return "no engine is running"
    if not facts.get("answers", True):
        pid = facts.get("pid") or "unknown"
        return f"an engine is running (pid {pid}), but does not answer; this is what it told last"
    level = facts.get("level") or "normal"
    reason, overload = facts.get("reason"), facts.get("overload")
    loaded = "" if level == "normal" else f", load {level}" + (f": {reason}" if reason else "")
    return f"an engine is running{loaded}" + (f"; overload: {overload}" if overload else "")


def _quotas(facts: dict[str, Any]) -> list[str]:
    lines = []
    for name, used in facts.get("quotas", {}).items():
        metrics = [
            f"{metric.replace('_', ' ')} {spent['spent']:,}" + (f"/{spent['limit']:,}" if spent["limit"] else "")
            for metric, spent in used["metrics"].items()
        ]
        calls = f"{used['in_flight']:,} of {used['slots']:,} calls under way, {used['waiting']:,} waiting"
        refused = f", {used['refused']:,} refused" if used["refused"] else ""
        pause = f", paused by the provider for {used['pause']} s" if used["pause"] else ""
        lines.append(f"quota {clean(name)}: {', '.join(metrics)} in a minute; {calls}{refused}{pause}")
    return lines


def _ailing(facts: dict[str, Any]) -> list[str]:
    ill = {name: fares for name, fares in facts.get("components", {}).items() if fares["health"] != "healthy"}
    return [
        f"component {name} is {fares['health']}" + (f": {clean(fares['error'])}" if fares.get("error") else "")
        for name, fares in ill.items()
    ]


def _unusual(pipelines: dict[str, dict[str, Any]]) -> list[str]:
    lines = []
    for name, pipeline in pipelines.items():
        state, priority = pipeline.get("state"), pipeline.get("priority", "normal")
        if state in ("paused", "cancelled"):
            lines.append(f"{clean(name)} is {state}")
        if priority != "normal" and state not in ("done", "failed", "cancelled"):
            lines.append(f"{clean(name)} has priority {priority}")
    return lines


def _task(pipeline: str, task: dict[str, Any]) -> str:
    # Steps of a pipeline are named after it already.
    name = clean(str(task.get("name", "")).removeprefix(f"{pipeline}: "))
    return f"{task['id']:<8} {task['state']:<8} {clean(pipeline)}: {name}"


def _holdings(facts: dict[str, Any]) -> list[str]:
    lines = [f"{facts.get('documents', 0):,} documents, {facts.get('chunks', 0):,} passages"]
    sizes = []
    if facts.get("store_bytes") is not None:
        sizes.append(f"store {human_bytes(facts['store_bytes'])}")
    if facts.get("text_bytes"):
        text = f"text {human_bytes(facts['text_bytes'])}"
        if facts.get("text_stored_bytes"):
            text += f", kept in {human_bytes(facts['text_stored_bytes'])}"
        sizes.append(text)
    return [*lines, ", ".join(sizes)] if sizes else lines


def failed(
    settings: Settings,
    filtered: Annotated[
        bool, typer.Option("--filtered", help="List what rules of quality filtered, instead of the quarantine.")
    ] = False,
    boilerplate: Annotated[
        bool, typer.Option("--boilerplate", help="List the lines that are taken out, since they repeat over documents.")
    ] = False,
) -> int:
    """List what is in quarantine, and why."""
    home = settings.home_path()
    if filtered:
        return _filtered(settings, home)
    if boilerplate:
        return _boilerplate(settings, home)
    from tenire.app.inspect import failed as read

    items = read(home)
    output = settings.output
    if output.as_json:
        output.json({"failed": list(items)})
        return 0
    if not items:
        output.show("nothing is in quarantine")
        return 0
    from tenire.cli.tables import failed_lines

    output.show(*failed_lines(items))
    return 0


def _filtered(settings: Settings, home: Path) -> int:
    from tenire.app.inspect import filtered as read

    items = read(home)
    if settings.output.as_json:
        settings.output.json({"filtered": [item._asdict() for item in items]})
        return 0
    lines = [f"{clean(item.source)}  ({clean(item.pipeline)}, {item.rule})\n    {clean(item.reason)}" for item in items]
    settings.output.show(*lines or ["nothing was filtered"])
    return 0


def _boilerplate(settings: Settings, home: Path) -> int:
    from tenire.app.inspect import boilerplate as read

    found = read(home)
    if settings.output.as_json:
        pipelines = {
            name: {"share": each.share, "documents": each.documents, "lines": each.lines}
            for name, each in found.items()
        }
        settings.output.json({"boilerplate": pipelines})
        return 0
    lines = [
        f"{clean(line)}\n    in {count:,} of {each.documents:,} documents that were looked at ({clean(name)})"
        for name, each in found.items()
        for line, count in each.lines.items()
    ]
    settings.output.show(*lines or ["no lines are taken out"])
    return 0


def retry(
    settings: Settings,
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Entries that `tenire failed` lists.")] = [],  # noqa: B006 - typer copies it
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
) -> int:
    """Try again what is in quarantine."""
    if every == bool(ids):
        got = "both" if ids else "neither"
        raise ConfigError(f"expected either ID… or --all, got {got}", key="ID", hint="see: tenire failed")
    home = settings.home_path()
    from tenire.app.inspect import retry as replay
    from tenire.cli.failures import interrupted
    from tenire.cli.running import finish

    lost: list[float] = []
    try:
        result = replay(home, list(ids), every, lost.append)
    except KeyboardInterrupt:
        # The report is lost with the interrupt; what was charged is told only once, and not by the next run.
        return interrupted(settings.output, lost_usd=sum(lost))
    output = settings.output
    report = result.report
    for name, left in result.left.items():
        count = "1 item" if left.entries == 1 else f"{left.entries:,} items"
        what = f"{count} of pipeline {name} left in quarantine: {left.reason}"
        output.error_line(f"{what} ({left.hint})" if left.hint else what, label="note")
    extra: dict[str, Any] = {"requeued": result.requeued}
    if result.left:
        extra["left"] = {name: asdict(left) for name, left in result.left.items()}
    if not output.as_json:
        items = "1 item" if result.requeued == 1 else f"{result.requeued} items"
        waits = report is None and result.requeued > 0
        output.show(f"{items} left to the next run of a program of yours" if waits else f"{items} tried again")
    elif report is None:
        output.json({**extra, "pipelines": {}, "seconds": 0.0, "peak_rss_mib": 0.0})
    code = finish(settings, report, extra=extra) if report is not None else 0
    return code or (3 if result.left else 0)


def verify(
    settings: Settings,
    repair: Annotated[
        bool, typer.Option("--repair", help="Forget what does not agree; the next run stores it again.")
    ] = False,
) -> int:
    """Check the ledger against the store."""
    home = settings.home_path()
    forgotten, aside, indexed = 0, None, False
    if repair:
        from tenire.app.inspect import repair as mend

        verified = mend(home)
        found, forgotten = verified.report, verified.forgotten
        aside, indexed = verified.aside, verified.indexed
    else:
        from tenire.app.inspect import verify as check

        found = check(home)
    verdict = "ledger and store agree" if found.ok else "ledger and store do not agree"
    lines = [
        f"{verdict}: {found.documents:,} documents, {found.chunks:,} passages",
        f"missing {found.missing:,}, orphans {found.orphans:,}, duplicates {found.duplicates:,}",
    ]
    if found.unindexed or found.damaged:
        lines.append(f"not indexed {found.unindexed:,}, damaged documents {found.damaged:,}")
    lines += [f"  {detail}" for detail in found.details[:_MOST_DETAILS]]
    if indexed:
        lines.append("the text index was damaged, and was made anew")
    if aside is not None:
        lines.append(f"the store could not be read; it is now {aside}, which you may delete once all is stored again")
    if forgotten:
        count = "1 source is" if forgotten == 1 else f"{forgotten:,} sources are"
        lines.append(f"{count} stored again by the next run of the same pipelines")
    elif not found.ok:
        lines.append("to mend it: tenire verify --repair, and then ingest again")
    facts: dict[str, Any] = dict(found.as_json())
    if repair:
        facts["forgotten"] = forgotten
    if aside is not None:
        facts["set_aside"] = str(aside)
    settings.output.result(facts, lines)
    return 0 if found.ok else 1


def compact(settings: Settings) -> int:
    """Reclaim space, and bring the search index up to date."""
    from tenire.app.compaction import compact as tidy

    done = tidy(settings.home_path())
    line = f"{human_bytes(done.before_bytes)} before, {human_bytes(done.after_bytes)} now"
    indexed = f"{done.indexed:,} of {done.chunks:,} passages in the vector index" if done.indexed else ""
    settings.output.result(done.as_json(), [line, *([indexed] if indexed else [])])
    return 0

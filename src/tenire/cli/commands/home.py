"""``status``, ``failed``, ``retry`` and ``verify``: what a home holds."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tenire.cli.common import Settings
from tenire.cli.output import human_bytes
from tenire.errors import ConfigError

__all__ = ["failed", "retry", "status", "verify"]


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

    state = "an engine is running" if facts.get("running") else "no engine is running"
    output.show(f"{home}: {state}", *_holdings(facts))
    pipelines: dict[str, dict[str, Any]] = facts.get("pipelines", {})
    if pipelines:
        output.show("", totals_table(pipelines))
    return 0


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


def failed(settings: Settings) -> int:
    """List what is in quarantine, and why."""
    home = settings.home_path()
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
    from tenire.cli.running import finish

    result = replay(home, list(ids), every)
    output = settings.output
    report = result.report
    if not output.as_json:
        output.show("1 item tried again" if result.requeued == 1 else f"{result.requeued} items tried again")
    elif report is None:
        output.json({"requeued": result.requeued, "pipelines": {}, "seconds": 0.0, "peak_rss_mib": 0.0})
    return finish(settings, report, extra={"requeued": result.requeued}) if report is not None else 0


def verify(settings: Settings) -> int:
    """Check the ledger against the store."""
    home = settings.home_path()
    from tenire.app.inspect import verify as check

    found = check(home)
    verdict = "ledger and store agree" if found.ok else "ledger and store do not agree"
    facts = {name: getattr(found, name) for name in ("ok", "documents", "chunks", "missing", "orphans", "duplicates")}
    settings.output.result(
        facts,
        [
            f"{verdict}: {found.documents:,} documents, {found.chunks:,} passages",
            f"missing {found.missing:,}, orphans {found.orphans:,}, duplicates {found.duplicates:,}",
        ],
    )
    return 0 if found.ok else 1

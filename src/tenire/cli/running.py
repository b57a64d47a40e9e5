"""Runs pipelines with a display, and tells how it ended."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenire.app.config import Config
from tenire.cli.common import Settings
from tenire.cli.interrupts import INTERRUPTED, interruptible
from tenire.cli.output import human_seconds
from tenire.cli.progress import ProgressDisplay
from tenire.clock import SYSTEM_CLOCK
from tenire.pipeline.progress import PipelineProgress, RunReport

if TYPE_CHECKING:
    from tenire.app.runs import Beside
    from tenire.cli.report.recorder import Recorder

__all__ = ["exit_code", "finish", "run_and_report"]


def run_and_report(
    settings: Settings,
    config: Config,
    only: Sequence[str],
    *,
    record: Path | None = None,
    page: Path | None = None,
    watch: bool = False,
    dashboard: bool = False,
) -> int:
    """Run pipelines, show their progress on stderr and their totals on stdout.

    Args:
        settings: The common options.
        config: What to run.
        only: Names of pipelines; empty for all.
        record: Where to save a picture of the display (SVG), or ``None``.
        page: Where to write a report of the run (HTML), or ``None``.
        watch: Whether documents pipelines go on after their run.
        dashboard: Whether to serve the web page from the engine's own loop; its address is printed first.

    Returns:
        The exit code.

    Raises:
        TenireError: If the run was refused or broke off.
    """
    from tenire.app.runs import run_config

    beside = _dashboard(settings, config) if dashboard else None
    live: dict[str, PipelineProgress] = {}
    lost: list[float] = []
    display = ProgressDisplay(sys.stderr, quiet=settings.quiet, record=record)
    recorder = _recorder(page)

    def on_start(pipelines: dict[str, PipelineProgress]) -> None:
        interruption.second_ends_at_once()
        live.update(pipelines)
        display.start(pipelines)
        if recorder is not None:
            recorder.start(pipelines)

    started = SYSTEM_CLOCK.now()
    with contextlib.closing(display), _closing(recorder), interruptible() as interruption:
        try:
            report = run_config(config, only=only, on_start=on_start, on_lost=lost.append, watch=watch, beside=beside)
        except KeyboardInterrupt:
            report = None
    if report is not None:
        _write(settings, page, report, recorder)
        return finish(settings, report)
    from tenire.observe.machine import peak_rss_bytes

    # The engine's own report is lost with the interrupt; the counters are not, nor is what was charged.
    report = RunReport(live, SYSTEM_CLOCK.now() - started, peak_rss_bytes() / 2**20, sum(lost))
    _write(settings, page, report, recorder)
    finish(settings, report, extra={"interrupted": True})
    settings.output.error_line("interrupted; everything finished is kept, the same command goes on from there")
    return INTERRUPTED


def _dashboard(settings: Settings, config: Config) -> Beside:
    from tenire.dashboard import beside_engine, require_packages
    from tenire.storage.home import Home

    require_packages()  # what is missing is told before anything starts
    home = Home(config.tenire.home)

    def tell(address: str) -> None:
        # Before the display is there, which a line in between would tear.
        settings.output.show(address)
        settings.output.flush()

    return lambda manager: beside_engine(manager, home, on_address=tell)


def _recorder(page: Path | None) -> Recorder | None:
    if page is None:
        return None
    from tenire.cli.report.recorder import Recorder  # only who asks for a report needs what it imports

    return Recorder()


def _closing(recorder: Recorder | None) -> AbstractContextManager[object]:
    return contextlib.nullcontext() if recorder is None else contextlib.closing(recorder)


def _write(settings: Settings, page: Path | None, report: RunReport, recorder: Recorder | None) -> None:
    """Write the report that was asked for; the run is over, so it fails with a line and not with the run."""
    if page is None or recorder is None:
        return
    from tenire.cli.report.page import write_page

    try:
        write_page(page, report, recorder.moments)
    except OSError as error:
        settings.output.error_line(f"cannot write the report {page}: {error.strerror or error}", label="note")


def exit_code(report: RunReport) -> int:
    """Return 1 if a pipeline failed, 3 if items are in quarantine, else 0."""
    if report.failed:
        return 1
    return 3 if report.quarantined else 0


def finish(settings: Settings, report: RunReport, *, extra: Mapping[str, Any] | None = None) -> int:
    """Print what a run did and return its exit code.

    Args:
        settings: The common options.
        report: What the run did.
        extra: Further keys of the JSON object.
    """
    output = settings.output
    for name in report.failed:
        output.error_line(f"pipeline {name} failed: {report.pipelines[name].error or 'no reason was given'}")
    if "interrupted" not in (extra or {}):  # which says the same for all of them
        for name, progress in report.pipelines.items():
            if progress.state == "cancelled":
                output.error_line(f"pipeline {name} was cancelled; everything finished is kept", label="note")
    if output.as_json:
        output.json({**report.as_json(), **(extra or {})})
        return exit_code(report)
    from tenire.cli.tables import run_notes, totals_table

    totals = {name: progress.totals() for name, progress in report.pipelines.items()}
    ended = f"{human_seconds(report.seconds)} in all, peak memory {report.peak_rss_mib:,.0f} MiB"
    output.show(*([totals_table(totals)] if totals else []), *run_notes(report), ended)
    # On a terminal the display has just said it.
    if report.quarantined and not settings.quiet and not sys.stderr.isatty():
        count = "1 item is" if report.quarantined == 1 else f"{report.quarantined:,} items are"
        output.error_line(f"{count} in quarantine; tenire failed lists them with their reasons", label="note")
    return exit_code(report)

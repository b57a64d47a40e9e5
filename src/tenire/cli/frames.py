"""What the progress display shows at one moment, as rich renderables and as plain lines.

Pure: counters and speeds in, a picture out. ``progress`` decides when.

A terminal shows nothing below its last line, and what stands last says what needs
attention. So a picture that would be higher leaves out stages first, and then the
pipelines that tell the least: what failed and what runs stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tenire.cli.output import clean, human_seconds, shortened
from tenire.pipeline.progress import PipelineProgress

__all__ = ["Look", "fraction", "frame", "plain_line"]

_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_SLOW = 1e5  # bytes per second; a slow embedder would seem to stand still in MB/s
_NAME = 16
# What tells most comes first.
_RANKS = ("failed", "running", "paused", "waiting", "watching", "cancelled", "done")
_RESTED = ("failed", "watching", "cancelled", "done")
_GLYPHS = {
    "waiting": ("○", ".", "dim"),
    "paused": ("‖", "=", "yellow"),
    "done": ("✔", "+", "green"),
    "watching": ("◉", "o", "green"),
    "failed": ("✖", "x", "bold red"),
    "cancelled": ("■", "x", "yellow"),
}


@dataclass(frozen=True, slots=True)
class Look:
    """What a frame shows beside the counters.

    Attributes:
        speeds: Bytes or rows per second by pipeline.
        remaining: Seconds to go by pipeline; ``None`` where nothing is known.
        elapsed: Seconds since the run began.
        tick: Number of the frame; turns the spinner.
        unicode: Whether the terminal can show more than ASCII.
        ended: Whether the run is over: this is the frame that stays.
        rates: Items per second by pipeline and stage.
        height: Lines that the terminal has, or ``None`` if it does not matter.
    """

    speeds: Mapping[str, float]
    remaining: Mapping[str, float | None]
    elapsed: float
    tick: int = 0
    unicode: bool = True
    ended: bool = False
    rates: Mapping[tuple[str, str], float] = field(default_factory=dict)
    height: int | None = None


def fraction(progress: PipelineProgress) -> float | None:
    """Return how much of a pipeline is done, from 0 to 1, or ``None`` while its source is being listed."""
    if progress.state in ("done", "watching"):
        return 1.0
    if not progress.listed:
        return None
    if progress.total > 0:
        return min(1.0, progress.reached / progress.total)
    # Empty files only: count them instead.
    return min(1.0, progress.finished / progress.files_total) if progress.files_total else 1.0


def frame(pipelines: Mapping[str, PipelineProgress], look: Look) -> RenderableType:
    """Return one picture of a run: a line a pipeline, one for each of its stages, then what needs attention.

    Args:
        pipelines: The live counters.
        look: Speeds and time, and how high the picture may be.
    """
    notes = _notes(pipelines, look)
    # Besides these: the headings, and the line on which the cursor stands.
    room = None if look.height is None or look.ended else max(1, look.height - len(notes) - 2)
    stages = {name: _stage_rows(each, look) for name, each in pipelines.items() if each.shown_state == "running"}
    if room is not None and len(pipelines) + sum(map(len, stages.values())) > room:
        stages = {}
    shown, left_out = _that_fit(pipelines, room)
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("", width=1)
    table.add_column("pipeline", no_wrap=True, overflow="ellipsis", max_width=_NAME)
    table.add_column("", ratio=1, min_width=8)
    table.add_column("", justify="right", width=4)
    files_only = all(progress.unit == "file" for progress in pipelines.values())
    made, speed = ("passages", "MB/s") if files_only else ("made", "speed")
    for name, width in (("files" if files_only else "items", 11), (made, 8), (speed, 6), ("left", 7)):
        table.add_column(name, justify="right", no_wrap=True, min_width=width)
    for name, progress in shown.items():
        table.add_row(*_row(progress, look.speeds.get(name, 0.0), look.remaining.get(name), look, units=not files_only))
        for row in stages.get(name, ()):
            table.add_row(*row)
    more = [Text(f"  and {len(left_out):,} more: {_states(left_out)}", "dim", no_wrap=True)] if left_out else []
    return Group(table, *more, *notes)


def _that_fit(
    pipelines: Mapping[str, PipelineProgress], room: int | None
) -> tuple[Mapping[str, PipelineProgress], list[PipelineProgress]]:
    """Return the pipelines that are shown, those that tell most first, and those for which there is no room."""
    if room is None or len(pipelines) <= room:
        return pipelines, []
    # A sort that keeps the order of equals: rows must not change places with every number.
    ranked = sorted(pipelines, key=lambda name: _rank(pipelines[name]))
    kept = max(1, room - 1)
    return {name: pipelines[name] for name in ranked[:kept]}, [pipelines[name] for name in ranked[kept:]]


def _rank(progress: PipelineProgress) -> int:
    state = progress.shown_state
    return _RANKS.index(state) if state in _RANKS else len(_RANKS)


def _states(pipelines: list[PipelineProgress]) -> str:
    counts = Counter(progress.shown_state for progress in sorted(pipelines, key=_rank))
    return ", ".join(f"{count:,} {state}" for state, count in counts.items())


def _row(
    progress: PipelineProgress, speed: float, left: float | None, look: Look, *, units: bool
) -> list[RenderableType]:
    share = fraction(progress)
    running = progress.shown_state == "running"
    if running:
        glyph = Text(_SPINNER[look.tick % len(_SPINNER)] if look.unicode else "|/-\\"[look.tick % 4], style="cyan")
    else:
        shown, plain, style = _GLYPHS.get(progress.shown_state, ("?", "?", ""))
        glyph = Text(shown if look.unicode else plain, style=style)
    name = shortened(clean(progress.name), _NAME, mark="…" if look.unicode else "~")
    finished = progress.finished
    files = Text(f"{finished:,}", style="" if finished else "dim")
    # While the source is being listed the end is not known: 120/340+.
    open_end = progress.state == "running" and not progress.listed
    files.append(f"/{progress.files_total:,}{'+' if open_end else ''}", style="dim")
    bar: RenderableType
    if share is None and running:
        bar = ProgressBar(total=100, pulse=True, pulse_style="cyan", animation_time=look.tick / 4)
    else:
        ended = "green" if progress.state in ("done", "watching") else "red" if progress.state == "failed" else "cyan"
        bar = ProgressBar(total=1.0, completed=share or 0.0, complete_style=ended, finished_style="green")
    return [
        glyph,
        Text(name, style="bold" if progress.state != "waiting" else "dim"),
        bar,
        Text("" if share is None else f"{int(share * 100)}%"),
        files,
        Text(_made(progress) if units else f"{progress.passages:,}"),
        Text(_speed(progress, speed, units=units) if running and speed else "", style="cyan"),
        Text(_left(progress, left)),
    ]


def _stage_rows(progress: PipelineProgress, look: Look) -> list[list[RenderableType]]:
    """Return a line for each stage: what waits, how fast it goes, and which one limits the run."""
    limiting = progress.limiting
    rows: list[list[RenderableType]] = []
    for stage in progress.stages:
        here = limiting is not None and stage.name == limiting.name
        rate = look.rates.get((progress.name, stage.name), 0.0)
        words = [f"{rate:,.0f} {stage.unit}s/s" if rate >= 10 else f"{rate:.1f} {stage.unit}s/s"] if rate else []
        if stage.doing:
            words.append(clean(stage.doing))
        if stage.waiting > 0:
            words.append(f"{stage.waiting:,} waiting")
        told = ", ".join(words)
        if here:  # first, since narrow terminals cut the end off
            told = f"limits the run: {told}" if told else "limits the run"
        style = "yellow" if here else "dim"
        name = Text(f" {clean(stage.name)}", style=style)
        rows.append(["", name, Text(told, style=style, no_wrap=True, overflow="ellipsis")])
    return rows


def _made(progress: PipelineProgress) -> str:
    count, name = (progress.calls, "call") if progress.unit == "row" else (progress.passages, "passage")
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def _again(retries: int) -> str:
    return f", {retries:,} {'retry' if retries == 1 else 'retries'}" if retries else ""


def _speed(progress: PipelineProgress, speed: float, *, units: bool) -> str:
    if progress.unit == "row":
        return f"{speed:,.1f}/s"
    if not units:
        return f"{speed / 1e6:.1f}" if speed >= _SLOW else f"{speed / 1e6:.3f}"
    return f"{speed / 1e6:.1f} MB/s" if speed >= _SLOW else f"{speed / 1e3:.0f} kB/s"


def _left(progress: PipelineProgress, left: float | None) -> str:
    if progress.shown_state == "paused":
        return "paused"
    if progress.state == "running":
        return human_seconds(left) if progress.listed and left is not None else ""
    return human_seconds(progress.seconds) if progress.state == "done" else ""


def _notes(pipelines: Mapping[str, PipelineProgress], look: Look) -> list[RenderableType]:
    mark = "✖" if look.unicode else "x"
    notes: list[RenderableType] = [
        Text(f"{mark} {clean(progress.name)}: {clean(progress.error)}", "red")
        for progress in pipelines.values()
        if progress.error
    ]
    quarantined = sum(progress.quarantined for progress in pipelines.values())
    if quarantined:
        files = "1 item is" if quarantined == 1 else f"{quarantined:,} items are"
        mark = "⚠" if look.unicode else "!"
        notes.append(Text(f"{mark} {files} in quarantine; tenire failed tells why", "yellow"))
    if not look.ended:
        if len(pipelines) > 1:
            notes.append(Text(_summary(pipelines, look), "dim", no_wrap=True, overflow="ellipsis"))
        again = _again(sum(progress.retries for progress in pipelines.values()))
        notes.append(Text(f"{human_seconds(look.elapsed)} elapsed{again}, Ctrl-C keeps everything finished", "dim"))
    return notes


def _summary(pipelines: Mapping[str, PipelineProgress], look: Look) -> str:
    """Return one line on all pipelines together."""
    everything = list(pipelines.values())
    listed = all(progress.listed for progress in everything)
    finished, expected = (sum(getattr(each, name) for each in everything) for name in ("finished", "files_total"))
    units = {progress.unit for progress in everything}
    words = [
        f"{len(everything)} pipelines: {_states(everything)}",
        f"{finished:,}/{expected:,}{'' if listed else '+'} {'item' if len(units) > 1 else everything[0].unit}s",
    ]
    speed = sum(look.speeds.get(each.name, 0.0) for each in everything if each.shown_state == "running")
    if speed and len(units) == 1:  # bytes and rows have no sum
        words.append(_speed(everything[0], speed, units=True))
    lefts = [look.remaining.get(each.name) for each in everything if each.shown_state not in _RESTED]
    known = [left for left in lefts if left is not None]
    if listed and known and len(known) == len(lefts):
        words.append(f"{human_seconds(max(known))} left")
    return "; ".join(words)


def plain_line(pipelines: Mapping[str, PipelineProgress], look: Look) -> str:
    """Return one line on a run, for logs and pipes."""
    parts = []
    for name, progress in pipelines.items():
        words = [
            f"{clean(name)} {progress.shown_state}",
            f"{progress.finished:,}/{progress.files_total:,}{'' if progress.listed else '+'} {progress.unit}s",
            _made(progress) + _again(progress.retries),
        ]
        if progress.quarantined:
            words.append(f"{progress.quarantined:,} in quarantine")
        if progress.shown_state == "running":
            if progress.doing:
                words.append(clean(progress.doing))
            elif progress.unit == "file" and progress.passages and not progress.chunks:
                words.append("files count once they are stored")
            if speed := look.speeds.get(name):
                words.append(_speed(progress, speed, units=True))
            left = look.remaining.get(name)
            if progress.listed and left is not None:
                words.append(f"{human_seconds(left)} left")
        parts.append(", ".join(words))
    return f"{human_seconds(look.elapsed)}: {'; '.join(parts)}"

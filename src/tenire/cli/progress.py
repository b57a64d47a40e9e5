"""Shows a run while it goes on: live bars on a terminal, a plain line otherwise.

The run writes counters, a thread of the display reads them at its own pace. So
a slow terminal never slows the run, and the run knows nothing of displays.
"""

from __future__ import annotations

import contextlib
import io
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.live import Live

from tenire.cli.frames import Look, fraction, frame, plain_line
from tenire.cli.output import console_for
from tenire.clock import SYSTEM_CLOCK, Clock
from tenire.core.speed import Speed, TimeLeft
from tenire.pipeline.progress import PipelineProgress

__all__ = ["ProgressDisplay", "save_svg"]

_FRAME_S = 0.25
_LINE_S = 10.0
_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
# Far enough that speed and time left are settled, and not yet full.
_PICTURE_AT = 0.6
_RESTING = ("watching", "done", "failed", "cancelled")


class ProgressDisplay:
    """The progress of one run on stderr.

    Args:
        stream: Where to show it.
        quiet: Whether to show nothing.
        record: Where to save a picture of the display, or ``None``.
        clock: The time.
    """

    def __init__(
        self, stream: TextIO, *, quiet: bool = False, record: Path | None = None, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._stream = stream
        self._quiet = quiet
        self._record = record
        self._clock = clock
        self._pipelines: Mapping[str, PipelineProgress] = {}
        self._speeds: dict[str, Speed] = {}
        self._times: dict[str, TimeLeft] = {}
        self._rates: dict[tuple[str, str], Speed] = {}
        self._live: Live | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._started = 0.0
        self._next_line = 0.0
        self._ticks = 0
        self._pictured = False
        self._said: list[tuple[str, int, str]] = []

    def start(self, pipelines: Mapping[str, PipelineProgress]) -> None:
        """Begin to show these pipelines; the counters are read as they change.

        Args:
            pipelines: Live counters by pipeline name.
        """
        self._pipelines = pipelines
        self._speeds = {name: Speed() for name in pipelines}
        self._times = {name: TimeLeft() for name in pipelines}
        self._started = self._clock.now()
        self._next_line = self._started + _LINE_S
        if self._quiet and self._record is None:
            return
        console = console_for(self._stream)
        if console.is_terminal and not console.is_dumb_terminal and not self._quiet:
            self._live = Live(console=console, auto_refresh=False, transient=False)
            self._live.start()
        # A daemon: a display that hangs on a stopped terminal must not keep the process.
        self._thread = threading.Thread(target=self._show, name="tenire-progress", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Show the last state and let go of the terminal; may be called twice."""
        self._stop.set()
        if self._thread is None:
            return
        self._thread.join(timeout=2.0)
        self._thread = None
        with contextlib.suppress(OSError, ValueError):  # as in _show; the totals still come
            self.tick(last=True)
            if self._live is not None:
                self._live.stop()
        if self._record is not None and not self._pictured:
            save_svg(self._record, self._pipelines, self._look(self._clock.now(), ended=True))

    def _show(self) -> None:
        while not self._stop.wait(_FRAME_S):
            try:
                self.tick()
            except (OSError, ValueError):  # the terminal is gone, or its stream was closed: the run goes on unseen
                return

    def tick(self, *, last: bool = False) -> None:
        """Show the state of this moment.

        Args:
            last: Whether the run has ended.
        """
        now = self._clock.now()
        look = self._look(now, ended=last)
        if self._live is not None:
            self._live.update(frame(self._pipelines, look), refresh=True)
        elif not self._quiet and (last or now >= self._next_line):
            self._next_line = now + _LINE_S
            if last or not self._rests():
                self._stream.write(f"tenire: {plain_line(self._pipelines, look)}\n")
                self._stream.flush()
        if self._record is not None and not self._pictured and self._far_enough():
            save_svg(self._record, self._pipelines, look)
            self._pictured = True

    def _look(self, now: float, *, ended: bool) -> Look:
        self._ticks += 1
        speeds = {
            name: self._speeds[name].update(progress.reached, now=now) for name, progress in self._pipelines.items()
        }
        remaining = {
            name: self._times[name].update(Speed.remaining(progress.total - progress.reached, speeds[name]), now=now)
            for name, progress in self._pipelines.items()
        }
        rates = {
            (name, stage.name): self._rates.setdefault((name, stage.name), Speed()).update(stage.done, now=now)
            for name, progress in self._pipelines.items()
            for stage in progress.stages
        }
        encoding = (getattr(self._stream, "encoding", None) or "utf-8").lower()
        utf = encoding.startswith("utf")
        height = None if self._live is None else self._live.console.size.height
        return Look(speeds, remaining, now - self._started, self._ticks, utf, ended, rates, height)

    def _rests(self) -> bool:
        """Whether all that goes on waits for files to change, and nothing has happened since that was said."""
        said, self._said = self._said, [(each.shown_state, each.seen, each.error) for each in self._pipelines.values()]
        return said == self._said and all(state in _RESTING for state, _, _ in said)

    def _far_enough(self) -> bool:
        shares = [fraction(progress) or 0.0 for progress in self._pipelines.values()]
        return bool(shares) and sum(shares) / len(shares) >= _PICTURE_AT


def save_svg(path: Path, pipelines: Mapping[str, PipelineProgress], look: Look, *, width: int = 100) -> None:
    """Save a picture of the display.

    Args:
        path: The SVG file to write.
        pipelines: The counters to show.
        look: Speeds and time.
        width: Columns of the terminal in the picture.

    Raises:
        OSError: If the file cannot be written.
    """
    console = Console(
        record=True,
        file=io.StringIO(),
        width=width,
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
    )
    console.print(frame(pipelines, look))
    # rich links a font from a server on the web; the picture must not call anyone.
    svg = _FONT.sub("", console.export_svg(title="tenire run", unique_id="tenire"))
    path.write_text(svg, encoding="utf-8")

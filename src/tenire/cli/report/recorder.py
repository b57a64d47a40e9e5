"""Watches a run for its report, on a thread of its own: the run knows nothing of it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping

import psutil

from tenire.cli.report.history import Moment, RunHistory
from tenire.clock import SYSTEM_CLOCK, Clock
from tenire.pipeline.progress import PipelineProgress

__all__ = ["Recorder"]

_LOOK_S = 0.25


class Recorder:
    """The moments of one run, from ``start`` to ``close``.

    Args:
        clock: The time.
    """

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._history = RunHistory(every=_LOOK_S)
        self._pipelines: Mapping[str, PipelineProgress] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._started = 0.0

    @property
    def moments(self) -> list[Moment]:
        """What was seen, oldest first."""
        return self._history.moments

    def start(self, pipelines: Mapping[str, PipelineProgress]) -> None:
        """Begin to watch these pipelines."""
        self._pipelines = pipelines
        self._started = self._clock.now()
        self._thread = threading.Thread(target=self._watch, name="tenire-report", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look for the last time; may be called twice, and without a start."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stop.set()
            thread.join(timeout=2.0)
            self.look(last=True)

    def look(self, *, last: bool = False) -> None:
        """Take a sample if it is time for one."""
        at = self._clock.now() - self._started
        self._history.sample(self._pipelines, at, memory=0 if last else _memory(), last=last)

    def _watch(self) -> None:
        while not self._stop.wait(_LOOK_S):
            self.look()


def _memory() -> int:
    """Return the bytes that this process and its workers use; pages that they share count in each."""
    own = psutil.Process()
    total = 0
    with contextlib.suppress(psutil.Error):
        for process in (own, *own.children(recursive=True)):
            with contextlib.suppress(psutil.Error):  # it ended in between
                total += process.memory_info().rss
    return total

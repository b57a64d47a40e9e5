"""How a run went over time: samples of its counters, few however long it takes.

1. At most ``MOST`` moments are kept. When one more comes, every other one is dropped, and
   from then on samples are taken half as often.
2. The last moment is always kept: it is what the run ended with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tenire.pipeline.progress import PipelineProgress

__all__ = ["MOST", "Moment", "RunHistory"]

MOST = 240


@dataclass(frozen=True, slots=True)
class Moment:
    """What a run had reached at one moment.

    Attributes:
        at: Seconds since the run began.
        finished: Files or rows that needed no more work, by pipeline.
        done: Items that had left a stage, by pipeline and stage.
        busy: Seconds of work done in it.
        memory: Bytes that the engine and its workers used, or 0 if nobody looked.
    """

    at: float
    finished: Mapping[str, int]
    done: Mapping[tuple[str, str], int]
    busy: Mapping[tuple[str, str], float]
    memory: int = 0


class RunHistory:
    """The moments of one run, oldest first.

    Args:
        every: Seconds between two samples, to begin with.
    """

    def __init__(self, *, every: float = 0.25) -> None:
        self.moments: list[Moment] = []
        self._every = every
        self._next = 0.0

    def sample(
        self, pipelines: Mapping[str, PipelineProgress], at: float, *, memory: int = 0, last: bool = False
    ) -> None:
        """Take a sample, if it is time for one.

        Args:
            pipelines: The live counters.
            at: Seconds since the run began; never less than before.
            memory: Bytes that the run uses now.
            last: Whether the run has ended: then it is time.
        """
        if at < self._next and not last:
            return
        stages = [(name, stage) for name, progress in pipelines.items() for stage in progress.stages]
        moment = Moment(
            at,
            {name: progress.finished for name, progress in pipelines.items()},
            {(name, stage.name): stage.done for name, stage in stages},
            {(name, stage.name): stage.busy_s for name, stage in stages},
            memory,
        )
        self.moments.append(moment)
        if len(self.moments) > MOST:
            self.moments = [*self.moments[:-1:2], moment]
            self._every *= 2
        self._next = at + self._every

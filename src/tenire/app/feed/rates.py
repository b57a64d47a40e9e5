"""How fast pipelines are, from one look at the engine to the next, and the curves of the last minutes.

The engine has both, as it looks at itself about once a second, less often under load: who
begins to look on knows at once how fast it is. The curves each looker-on continues by
itself, so that they go on over the end of an engine.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from tenire.app.feed.view import Rate, Sample
from tenire.core.speed import Speed, TimeLeft

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tenire.app.published import Published, PublishedPipeline

__all__ = ["KEPT_SAMPLES", "SAMPLE_S", "Curves", "Rates"]

SAMPLE_S = 1.0
KEPT_SAMPLES = 300

_MOVING = ("running", "watching")


class Rates:
    """The rates of one engine's pipelines."""

    def __init__(self) -> None:
        self._reached: dict[str, Speed] = {}
        self._finished: dict[str, Speed] = {}
        self._left: dict[str, TimeLeft] = {}

    def update(self, pipelines: Mapping[str, PublishedPipeline], *, now: float) -> dict[str, Rate]:
        """Take in a look and return how fast each pipeline is."""
        return {name: self._rate(name, pipeline, now) for name, pipeline in pipelines.items()}

    def _rate(self, name: str, pipeline: PublishedPipeline, now: float) -> Rate:
        speed = self._reached.setdefault(name, Speed()).update(pipeline.reached, now=now)
        items = self._finished.setdefault(name, Speed()).update(pipeline.finished, now=now)
        promised = Speed.remaining(pipeline.total - pipeline.reached, speed) if pipeline.listed else None
        left = self._left.setdefault(name, TimeLeft()).update(promised, now=now)
        return Rate(round(speed, 1), round(items, 2), left) if pipeline.state in _MOVING else Rate()


class Curves:
    """The samples of the last five minutes."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=KEPT_SAMPLES)
        self._due = float("-inf")
        self.samples: tuple[Sample, ...] = ()

    def update(self, engine: Published, rates: Mapping[str, Rate], *, now: float) -> None:
        """Take in a look; most of them are no sample."""
        if now < self._due:
            return
        # In step with who looks once in this time: he may be a thousandth early the next time.
        self._due = max(self._due + SAMPLE_S, now + SAMPLE_S / 2)
        cpu = engine.resources.get("cpu")
        held = min(1.0, cpu.held / cpu.capacity) if cpu is not None and cpu.capacity else 0.0
        items = sum(rate.items for rate in rates.values())
        tasks = (engine.running, engine.queued)
        self._samples.append(Sample(engine.at, engine.load, *tasks, round(held, 3), engine.resident, round(items, 2)))
        self.samples = tuple(self._samples)

    def join(self, samples: Iterable[Sample], *, now: float) -> None:
        """Take over those that are newer than the last one: of an engine that has run for a while."""
        last = self._samples[-1].at if self._samples else float("-inf")
        newer = [sample for sample in samples if sample.at > last]
        if newer:
            self._samples.extend(newer)
            self.samples = tuple(self._samples)
            self._due = now + SAMPLE_S / 2

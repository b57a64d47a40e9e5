"""How fast pipelines are, from one look at the engine to the next, and the curves of the last minutes.

The engine has both, as it looks at itself about once a second, less often under load: who
begins to look on knows at once how fast it is. A looker-on takes over the samples that it
does not have, so that its curves go on over the end of an engine.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from tenire.app.feed.view import Rate, Sample
from tenire.core.speed import Speed, TimeLeft

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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
    """The samples of the last five minutes.

    Attributes:
        samples: The samples, the newest last.
        number: How many there were, with those that are kept no longer.
    """

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=KEPT_SAMPLES)
        self._due = float("-inf")
        self.samples: tuple[Sample, ...] = ()
        self.number = 0

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
        sample = Sample(engine.at, engine.load, *tasks, round(held, 3), engine.resident, round(items, 2))
        self._add((sample,))

    def since(self, number: int) -> tuple[Sample, ...]:
        """Return those after so many, as far as they are kept."""
        # Counted, not told by their times: the clock on the wall may be put back.
        new = min(max(0, self.number - number), len(self.samples))
        return self.samples[len(self.samples) - new :]

    def go_on(self, samples: Sequence[Sample]) -> None:
        """Take over what came since, of the same engine."""
        if samples:
            self._add(samples)

    def join(self, samples: Iterable[Sample]) -> None:
        """Take over those that are newer than the last one: of another engine, which may have run for a while."""
        last = self._samples[-1].at if self._samples else float("-inf")
        self.go_on([sample for sample in samples if sample.at > last])

    def _add(self, samples: Sequence[Sample]) -> None:
        self._samples.extend(samples)
        self.samples = tuple(self._samples)
        self.number += len(samples)

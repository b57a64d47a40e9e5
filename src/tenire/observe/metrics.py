"""Counters, gauges and summaries, and one frozen picture of all of them.

1. A metric is known by its name; asking for the same name twice gives the same one.
2. Each combination of labels is a series of its own. A metric has ``SERIES`` of them at
   the most; what comes after that is counted in one whose labels are all ``OTHER``, so
   that names that never repeat cannot fill the memory.
3. Everything may be called from any thread.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from tenire.core.quantiles import ERROR, QuantileSketch
from tenire.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["OTHER", "QUANTILES", "SERIES", "Counter", "Family", "Gauge", "Metrics", "Sample", "Summary"]

SERIES = 200
OTHER = "other"
QUANTILES = (0.5, 0.9, 0.99)

_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")


@dataclass(frozen=True, slots=True)
class Sample:
    """One series at one moment.

    Attributes:
        labels: Label names with their values, in the order of the metric.
        value: The count or the value; of a summary, the sum of all values.
        count: Of a summary, how many values came; otherwise ``None``.
        quantiles: Of a summary, values by part (0 to 1), each within 1 %; otherwise empty.
    """

    labels: tuple[tuple[str, str], ...]
    value: float
    count: int | None = None
    quantiles: tuple[tuple[float, float | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Family:
    """One metric at one moment.

    Attributes:
        name: Its name, without a prefix.
        kind: ``counter``, ``gauge`` or ``summary``.
        about: What it says, its unit included.
        samples: One for each combination of labels.
    """

    name: str
    kind: str
    about: str
    samples: tuple[Sample, ...]


class _Metric:
    """What all kinds share: a name, and which series a value belongs to."""

    kind = ""

    def __init__(self, name: str, about: str, labels: tuple[str, ...], lock: threading.Lock) -> None:
        self.name = name
        self.about = about
        self.labels = labels
        self._lock = lock
        self._other = (OTHER,) * len(labels)

    def _key(self, values: tuple[str, ...], known: Mapping[tuple[str, ...], object]) -> tuple[str, ...]:
        if len(values) != len(self.labels):
            message = f"metric {self.name!r} has the labels {self.labels}, got the values {values}"
            raise ConfigError(message, key=self.name)
        # One less, so that the one for the others has a place.
        return values if values in known or len(known) < SERIES - 1 or not self.labels else self._other

    def _pairs(self, key: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
        return tuple(zip(self.labels, key, strict=True))

    def family(self) -> Family:
        """Return it as it is now."""
        with self._lock:
            return Family(self.name, self.kind, self.about, self._samples())

    def _samples(self) -> tuple[Sample, ...]:
        raise NotImplementedError


class Counter(_Metric):
    """Only grows. Made by ``Metrics.counter``."""

    kind = "counter"

    def __init__(self, name: str, about: str, labels: tuple[str, ...], lock: threading.Lock) -> None:
        super().__init__(name, about, labels, lock)
        self._values: dict[tuple[str, ...], float] = {}

    def add(self, amount: float, *labels: str) -> None:
        """Count ``amount`` more.

        Raises:
            ConfigError: If it is negative, or the labels do not fit.
        """
        if not amount >= 0:
            message = f"counter {self.name!r} only grows, got {amount!r}"
            raise ConfigError(message, key=self.name)
        with self._lock:
            key = self._key(labels, self._values)
            self._values[key] = self._values.get(key, 0) + amount

    def _samples(self) -> tuple[Sample, ...]:
        return tuple(Sample(self._pairs(key), value) for key, value in self._values.items())


class Gauge(_Metric):
    """A value that goes up and down. Made by ``Metrics.gauge``."""

    kind = "gauge"

    def __init__(self, name: str, about: str, labels: tuple[str, ...], lock: threading.Lock) -> None:
        super().__init__(name, about, labels, lock)
        self._values: dict[tuple[str, ...], float] = {}

    def set(self, value: float, *labels: str) -> None:
        """Set it.

        Raises:
            ConfigError: If the labels do not fit.
        """
        with self._lock:
            self._values[self._key(labels, self._values)] = value

    def _samples(self) -> tuple[Sample, ...]:
        return tuple(Sample(self._pairs(key), value) for key, value in self._values.items())


class Summary(_Metric):
    """How values are spread: count, sum and quantiles. Made by ``Metrics.summary``."""

    kind = "summary"

    def __init__(self, name: str, about: str, labels: tuple[str, ...], lock: threading.Lock) -> None:
        super().__init__(name, about, labels, lock)
        self._sketches: dict[tuple[str, ...], QuantileSketch] = {}

    def observe(self, value: float, *labels: str, times: int = 1) -> None:
        """Take in a value, ``times`` times.

        Raises:
            ConfigError: If it is negative or no number, or the labels do not fit.
        """
        with self._lock:
            key = self._key(labels, self._sketches)
            sketch = self._sketches.get(key)
            if sketch is None:
                sketch = self._sketches[key] = QuantileSketch(ERROR)
            sketch.add(value, times)

    def merged(self) -> QuantileSketch:
        """Return one sketch of all series together."""
        whole = QuantileSketch(ERROR)
        with self._lock:
            for sketch in self._sketches.values():
                whole.merge(sketch)
        return whole

    def _samples(self) -> tuple[Sample, ...]:
        return tuple(
            Sample(self._pairs(key), sketch.total, sketch.count, tuple(sketch.quantiles(QUANTILES).items()))
            for key, sketch in self._sketches.items()
        )


M = TypeVar("M", bound=_Metric)


class Metrics:
    """All metrics of one engine."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._metrics: dict[str, _Metric] = {}
        self._refreshers: list[Callable[[], object]] = []
        self._sources: list[Callable[[], Iterable[Family]]] = []

    def counter(self, name: str, about: str, labels: tuple[str, ...] = ()) -> Counter:
        """Return the counter of this name, made if it is new; its name ends with ``_total``.

        Raises:
            ConfigError: If the name is impossible, or taken by something else.
        """
        if not name.endswith("_total"):
            message = f"the name of a counter ends with '_total', got {name!r}"
            raise ConfigError(message, key=name)
        return self._get(Counter, name, about, labels)

    def gauge(self, name: str, about: str, labels: tuple[str, ...] = ()) -> Gauge:
        """Return the gauge of this name, made if it is new.

        Raises:
            ConfigError: If the name is impossible, or taken by something else.
        """
        return self._get(Gauge, name, about, labels)

    def summary(self, name: str, about: str, labels: tuple[str, ...] = ()) -> Summary:
        """Return the summary of this name, made if it is new; its name ends with its unit.

        Raises:
            ConfigError: If the name is impossible, or taken by something else.
        """
        return self._get(Summary, name, about, labels)

    def before_collecting(self, refresh: Callable[[], object]) -> None:
        """Call ``refresh`` before each ``collect``: for gauges that are read only when somebody looks."""
        self._refreshers.append(refresh)

    def add_source(self, source: Callable[[], Iterable[Family]]) -> None:
        """Have ``collect`` return what ``source`` returns too: for what is counted elsewhere already."""
        self._sources.append(source)

    def collect(self) -> tuple[Family, ...]:
        """Return everything as it is now, by name; of two with one name the one that was made here."""
        for refresh in self._refreshers:
            refresh()
        found = {family.name: family for source in self._sources for family in source()}
        found |= {name: metric.family() for name, metric in list(self._metrics.items())}
        return tuple(family for _, family in sorted(found.items()))

    def _get(self, kind: type[M], name: str, about: str, labels: tuple[str, ...]) -> M:
        for word in (name, *labels):
            if not _NAME.match(word):
                message = f"names of metrics and labels are lower-case words with '_', got {word!r}"
                raise ConfigError(message, key=name)
        with self._lock:
            known = self._metrics.get(name)
            if known is None:
                made = self._metrics[name] = kind(name, about, labels, threading.Lock())
                return made
        if not isinstance(known, kind) or known.labels != labels:
            message = (
                f"metric {name!r} is a {known.kind} with the labels {known.labels} already, "
                f"asked for a {kind.kind} with the labels {labels}"
            )
            raise ConfigError(message, key=name)
        return known

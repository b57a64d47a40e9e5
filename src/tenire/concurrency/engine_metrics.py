"""The engine's own metrics: a snapshot, as families of samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.observe.metrics import OTHER, SERIES, Family, Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tenire.concurrency.snapshot import PipelineSnapshot, Snapshot, Spread

__all__ = ["families"]

_COUNTS: tuple[tuple[str, str, str, Callable[[PipelineSnapshot], float]], ...] = (
    ("tasks_submitted_total", "counter", "Tasks submitted.", lambda it: it.submitted),
    ("tasks_ended_total", "counter", "Tasks that ended, however they did.", lambda it: it.ended),
    ("tasks_failed_total", "counter", "Tasks that failed.", lambda it: it.failed),
    ("tasks_cancelled_total", "counter", "Tasks that were cancelled.", lambda it: it.cancelled),
    ("tasks_retried_total", "counter", "Tries after the first one.", lambda it: it.retried),
    ("tasks_running", "gauge", "Tasks that run now.", lambda it: it.running),
    ("tasks_ready", "gauge", "Tasks that wait for their turn and their resources.", lambda it: it.ready),
    ("pipeline_weight", "gauge", "Share against other pipelines, as configured.", lambda it: it.weight),
)
_LEVELS = ("normal", "elevated", "high", "critical")


def families(snapshot: Snapshot) -> tuple[Family, ...]:
    """Return the metrics of an engine.

    Of more than ``SERIES`` pipelines those with the fewest tasks are counted together.
    """
    pipelines = snapshot.pipelines
    shown = sorted(pipelines, key=lambda name: -pipelines[name].submitted)[: SERIES - 1]
    rest = [pipelines[name] for name in pipelines.keys() - set(shown)]
    found = [
        Family(name, kind, about, tuple(_by_pipeline({each: value(pipelines[each]) for each in shown}, rest, value)))
        for name, kind, about, value in _COUNTS
    ]
    found += [
        _summary("task_seconds", "How long tasks ran that went well.", {it: pipelines[it].took for it in shown}),
        _summary("task_wait_seconds", "How long those were ready first.", {it: pipelines[it].waited for it in shown}),
        _labelled("resource_held", "What is held of each resource.", "resource", _held(snapshot)),
        _labelled("resource_capacity", "What may be held of each resource.", "resource", _capacity(snapshot)),
        _one("tasks_queued", "gauge", "Tasks that wait, for whatever reason.", snapshot.queued),
        _one("timers", "gauge", "Calls that the timer will make.", snapshot.timers),
        _one("timer_latest_seconds", "gauge", "The worst lateness of a timer so far.", snapshot.latest_s),
        _one("degradation_level", "gauge", "0 normal, 1 elevated, 2 high, 3 critical.", _LEVELS.index(snapshot.level)),
        *_pools(snapshot),
        *_data(snapshot),
    ]
    if snapshot.load is not None:
        found.append(_one("load", "gauge", "Load of the machine, 0 to 1.", snapshot.load))
    return tuple(found)


def _pools(snapshot: Snapshot) -> Iterable[Family]:
    pools, tidied = snapshot.pools, snapshot.compactor
    yield _one("threads", "gauge", "Threads for tasks.", pools.threads)
    abandoned = len(pools.abandoned)
    yield _one("threads_abandoned", "gauge", "Functions that go on though their task has ended.", abandoned)
    yield _one("worker_processes", "gauge", "Worker processes.", len(pools.processes))
    yield _one("workers_replaced_total", "counter", "Workers started in place of one that died.", pools.replaced)
    yield _one("workers_recycled_total", "counter", "Workers ended for keeping too much memory.", pools.recycled)
    restarts = {name: float(child.restarts) for name, child in snapshot.components.items()}
    yield _labelled("component_restarts_total", "Restarts of a component.", "component", restarts, kind="counter")
    yield _one("tidied_bytes_total", "counter", "Bytes gained in idle periods.", tidied.gained)


def _data(snapshot: Snapshot) -> Iterable[Family]:
    blobs, caches = snapshot.data.blobs, snapshot.data.caches
    yield _labelled("blob_bytes", "Bytes of blobs.", "place", {"memory": blobs.memory, "disk": blobs.disk})
    yield _one("blobs_spilled_total", "counter", "Blobs that left memory.", blobs.spilled)
    yield _labelled("cache_bytes", "Bytes in a cache.", "cache", {it: caches[it].used for it in caches})
    for name, about, values in (
        ("cache_hits_total", "Values found.", {it: caches[it].hits for it in caches}),
        ("cache_misses_total", "Values not found.", {it: caches[it].misses for it in caches}),
    ):
        yield _labelled(name, about, "cache", values, kind="counter")


def _held(snapshot: Snapshot) -> dict[str, float]:
    return {name: resource.held for name, resource in snapshot.resources.items()}


def _capacity(snapshot: Snapshot) -> dict[str, float]:
    return {name: resource.capacity for name, resource in snapshot.resources.items()}


def _one(name: str, kind: str, about: str, value: float) -> Family:
    return Family(name, kind, about, (Sample((), value),))


def _labelled(name: str, about: str, label: str, values: Mapping[str, float], *, kind: str = "gauge") -> Family:
    return Family(name, kind, about, tuple(Sample(((label, key),), value) for key, value in values.items()))


def _summary(name: str, about: str, spreads: Mapping[str, Spread]) -> Family:
    samples = tuple(
        Sample((("pipeline", pipeline),), spread.total, spread.count, tuple(spread.quantiles.items()))
        for pipeline, spread in spreads.items()
    )
    return Family(name, "summary", about, samples)


def _by_pipeline(
    values: Mapping[str, float], rest: list[PipelineSnapshot], value: Callable[[PipelineSnapshot], float]
) -> Iterable[Sample]:
    for name, each in values.items():
        yield Sample((("pipeline", name),), each)
    if rest:
        yield Sample((("pipeline", OTHER),), sum(map(value, rest)))

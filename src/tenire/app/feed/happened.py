"""What happened in an engine, in one line each: for who looks on, and for who comes later.

1. Events are numbered from 1 and never change. The last ``KEPT`` are kept.
2. Some are signals of the engine. The others are differences between two looks at it:
   a pipeline that changed its state, its level or its share, a quota that was paused,
   a breaker that opened.
3. What may happen a thousand times a second, as things that go into quarantine, is told
   of a pipeline once in ``TOGETHER_S``, and once more when the pipeline ends.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from tenire.concurrency.compactor import StepEnded
from tenire.concurrency.control_events import LevelChanged, OverloadChanged, SlotsChanged
from tenire.concurrency.supervisor.child import ComponentChanged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import ExitStack

    from tenire.app.published import Published, PublishedPipeline, PublishedQuota
    from tenire.clock import Clock
    from tenire.concurrency.signals import Signals

__all__ = ["KEPT", "TOGETHER_S", "Happened", "Happenings"]

KEPT = 200
TOGETHER_S = 5.0

_OVER = ("done", "failed", "cancelled")
_STATES = {
    "running": ("began", "info"),
    "waiting": ("waits for its turn", "info"),
    "watching": ("is up to date, and watches its source", "good"),
    "paused": ("was paused", "warning"),
    "cancelled": ("was cancelled; what it had finished is kept", "warning"),
}
_BREAKERS = {
    "open": ("its provider is down, calls wait", "bad"),
    "half_open": ("its provider is being tried again", "warning"),
    "closed": ("its provider answers again", "good"),
}
_LEVELS = {"normal": "good", "elevated": "info", "high": "warning", "critical": "bad"}
_COMPONENTS = {
    "up": ("is up again", "good"),
    "down": ("failed and starts again", "warning"),
    "failed": ("was given up", "bad"),
}


class Happened(msgspec.Struct, frozen=True):
    """One event.

    Attributes:
        number: Grows by one with each.
        at: When, seconds since the epoch.
        kind: ``pipeline``, ``quarantine``, ``quota``, ``load``, ``component``, ``tidying`` or ``engine``.
        about: The pipeline, quota or component, or an empty text.
        text: What happened, one line for people.
        severity: ``info``, ``good``, ``warning`` or ``bad``.
    """

    number: int
    at: float
    kind: str
    about: str
    text: str
    severity: str = "info"


class Happenings:
    """The events of one engine; on its loop.

    Args:
        clock: The engine's clock.

    Attributes:
        number: Of the last event; 0 before the first.
        on_new: Called after each new one.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: deque[Happened] = deque(maxlen=KEPT)
        self._before: Published | None = None
        self._counted: dict[str, tuple[int, float]] = {}  # quarantined by pipeline as told last, and when
        self.number = 0
        self.on_new: Callable[[], object] = int

    def add(self, kind: str, about: str, text: str, severity: str = "info") -> None:
        """Note an event."""
        self.number += 1
        self._kept.append(Happened(self.number, self._clock.wall(), kind, _sendable(about), _sendable(text), severity))
        self.on_new()

    def since(self, number: int) -> list[Happened]:
        """Return the events after one, as far as they are kept."""
        return [] if number >= self.number else [event for event in self._kept if event.number > number]

    def saw(self, published: Published) -> None:
        """Note what changed since the last look."""
        before, self._before = self._before, published
        if before is None:
            self.add("engine", "", f"the engine started (pid {published.pid})")
        for name, now in published.pipelines.items():
            self._pipeline(name, before.pipelines.get(name) if before is not None else None, now)
        for name, quota in published.quotas.items():
            self._quota(name, before.quotas.get(name) if before is not None else None, quota)

    def listen(self, signals: Signals, until: ExitStack) -> None:
        """Note what the engine signals, until a stack is left."""
        listeners: tuple[tuple[type[Any], Callable[[Any], None]], ...] = (
            (LevelChanged, self._level),
            (SlotsChanged, self._slots),
            (OverloadChanged, self._overload),
            (ComponentChanged, self._component),
            (StepEnded, self._tidied),
        )
        for kind, listener in listeners:
            until.callback(signals.subscribe(kind, listener).cancel)

    # -- differences ------------------------------------------------------

    def _pipeline(self, name: str, before: PublishedPipeline | None, now: PublishedPipeline) -> None:
        if now.state != (before.state if before is not None else "waiting"):
            text, severity = _state(before, now)
            self.add("pipeline", name, f"{name} {text}", severity)
        if before is not None and before.priority and now.priority != before.priority:
            self.add("pipeline", name, f"{name} has priority {now.priority} now, it was {before.priority}")
        if before is not None and now.weight != before.weight:
            self.add("pipeline", name, f"{name} has weight {now.weight:g} now, it was {before.weight:g}")
        if before is not None and now.breaker != before.breaker and (now.breaker != "closed" or before.breaker):
            text, severity = _BREAKERS[now.breaker]
            self.add("quota", name, f"{name}: {text}", severity)
        self._quarantine(name, now)

    def _quarantine(self, name: str, now: PublishedPipeline) -> None:
        count = now.totals.get("quarantined", 0)
        known, told_at = self._counted.get(name, (0, float("-inf")))
        at = self._clock.now()
        if count > known and (at - told_at >= TOGETHER_S or now.state in _OVER):
            self._counted[name] = (count, at)
            self.add(
                "quarantine", name, f"{count - known:,} more of {name} cannot be used, {count:,} in all", "warning"
            )

    def _quota(self, name: str, before: PublishedQuota | None, now: PublishedQuota) -> None:
        if now.pause and not (before is not None and before.pause):
            self.add("quota", name, f"the provider of {name} takes no calls for {now.pause} s", "warning")

    # -- signals ------------------------------------------------------------

    def _level(self, event: LevelChanged) -> None:
        text = f"load {event.level}, it was {event.before}: {event.reason}"
        self.add("load", "", text, _LEVELS.get(event.level, "info"))

    def _slots(self, event: SlotsChanged) -> None:
        self.add("load", "", f"{event.slots:g} of {event.full:g} CPU slots, it was {event.before:g}: {event.reason}")

    def _overload(self, event: OverloadChanged) -> None:
        self.add("load", "", event.reason, "warning" if event.last else "good")

    def _component(self, event: ComponentChanged) -> None:
        if event.state not in _COMPONENTS or (event.state == "up" and not event.restarts):
            return  # what starts and ends with the engine is no news
        text, severity = _COMPONENTS[event.state]
        why = f": {event.error}" if event.error is not None else ""
        self.add("component", event.component, f"the component {event.component} {text}{why}", severity)

    def _tidied(self, event: StepEnded) -> None:
        if event.gained:
            self.add("tidying", event.name, f"tidying up ({event.name}) gave {event.gained:,} bytes back")


def _sendable(text: str) -> str:
    # Names of files may hold bytes that are no text.
    return text.encode("utf-8", "backslashreplace").decode()


def _state(before: PublishedPipeline | None, now: PublishedPipeline) -> tuple[str, str]:
    if now.state == "running" and before is not None and before.state in ("paused", "watching"):
        return ("goes on" if before.state == "paused" else "takes in what changed"), "info"
    if now.state == "failed":
        return f"failed: {now.totals.get('error') or 'for no known reason'}", "bad"
    if now.state == "done":
        return f"is done: {', '.join(_outcome(now))}", "good"
    return _STATES.get(now.state, (f"is {now.state}", "info"))


def _outcome(now: PublishedPipeline) -> Iterator[str]:
    totals = now.totals
    yield f"{totals.get('done', 0):,} {now.unit}s done"
    for name in ("unchanged", "removed", "quarantined"):
        if totals.get(name):
            yield f"{totals[name]:,} {'in quarantine' if name == 'quarantined' else name}"

"""What a running engine tells other processes about itself.

``read_published`` is the only way to it. It asks the engine. One that does not answer,
because it was stopped or is stuck, has left what it told last in a file in its home.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from tenire.app.ask import ask
from tenire.errors import TenireError

if TYPE_CHECKING:
    from pathlib import Path

    from tenire.storage.home import Home

__all__ = [
    "ExplainedTask", "Published", "PublishedComponent", "PublishedMetric", "PublishedPipeline", "PublishedQuota",
    "PublishedResource", "PublishedStage", "PublishedTask", "PublishedWorkers", "as_text", "engine_path", "from_text",
    "last_told", "read_published", "task_id",
]  # fmt: skip

T = TypeVar("T")

_MOST_BYTES = 4 << 20
_ANSWER_S = 2.0
"""Seconds after which an engine that was asked is taken for stuck."""


class PublishedTask(msgspec.Struct, frozen=True):
    """One task, as it was a moment ago.

    Attributes:
        id: Names it, for ``tenire why``; unique within its engine.
        state: ``waiting``, ``ready`` or ``running``.
        name: For people.
        reason: Why it is where it is, in one sentence.
        gate: What holds it back, in one word, or an empty text.
    """

    id: str
    state: str
    name: str
    reason: str
    gate: str = ""


class ExplainedTask(msgspec.Struct, frozen=True):
    """One task of any pipeline, for who asks about it.

    Attributes:
        pipeline: Its pipeline.
        task: The task.
    """

    pipeline: str
    task: PublishedTask


class PublishedStage(msgspec.Struct, frozen=True):
    """One stage of a pipeline.

    Attributes:
        name: Its name.
        done: Items that left it.
        waiting: Items that wait in front of it.
        running: Items in it now.
        workers: How many can work in it at the same time.
        unit: What goes through it: ``file``, ``row``, ``item`` or ``passage``.
    """

    name: str
    done: int
    waiting: int
    running: int
    workers: int = 1
    unit: str = "passage"


class PublishedPipeline(msgspec.Struct, frozen=True):
    """One pipeline of a run.

    Attributes:
        totals: Its counters so far, and its state.
        running: Tasks that run.
        queued: Tasks that wait.
        tasks: Some of them, those that run first.
        priority: Its level now, or an empty text if it has not begun.
        weight: Its share against the other pipelines.
        unit: What it goes through: ``file`` or ``row``.
        finished: Files or rows that need no more work.
        expected: Files or rows in all, as far as is known.
        reached: What of ``total`` is done, or nearly.
        total: All that has to be gone through, as far as is known: bytes of files, or rows.
        listed: Whether that is all there is.
        stages: Its stages, in order.
        breaker: Of the provider whose model it calls: ``closed``, ``open`` (it is down), ``half_open``
            (it is being tried), or an empty text if it calls none.
    """

    totals: dict[str, Any]
    running: int
    queued: int
    tasks: list[PublishedTask]
    priority: str = ""
    weight: float = 1.0
    unit: str = "file"
    finished: int = 0
    expected: int = 0
    reached: int = 0
    total: int = 0
    listed: bool = False
    stages: list[PublishedStage] = []
    breaker: str = ""

    @property
    def state(self) -> str:
        """Its state, as people see it: ``paused`` too."""
        return str(self.totals.get("state", ""))

    @property
    def fraction(self) -> float | None:
        """How much of it is done, from 0 to 1, or ``None`` while that cannot be known."""
        if self.state in ("done", "watching"):
            return 1.0
        if not self.listed:
            return None
        if self.total > 0:
            return min(1.0, self.reached / self.total)
        # Empty files only: count them instead.
        return min(1.0, self.finished / self.expected) if self.expected else 1.0


class PublishedResource(msgspec.Struct, frozen=True):
    """One thing that tasks share: ``cpu`` (slots), ``memory`` (bytes), ``threads`` or another.

    Attributes:
        held: What running tasks hold.
        capacity: What there is; under load, what may be held for now.
    """

    held: float
    capacity: float


class PublishedWorkers(msgspec.Struct, frozen=True):
    """Threads and worker processes.

    Attributes:
        threads: Threads alive.
        threads_busy: Those of them that run something.
        processes: Worker processes alive.
        replaced: Worker processes started in place of one that died or was ended.
    """

    threads: int = 0
    threads_busy: int = 0
    processes: int = 0
    replaced: int = 0


class PublishedComponent(msgspec.Struct, frozen=True):
    """How one component of an engine fares.

    Attributes:
        health: ``healthy``, ``unsteady`` (up, but it failed lately), ``down``, ``failed`` (given up), …
        restarts: How often it was started again.
        error: Its last failure in one line, or ``None``.
    """

    health: str
    restarts: int
    error: str | None = None


class PublishedMetric(msgspec.Struct, frozen=True):
    """One thing that a quota limits.

    Attributes:
        spent: Units that count now.
        limit: Units in one window, or ``None`` while that is unknown.
    """

    spent: int
    limit: int | None = None


class PublishedQuota(msgspec.Struct, frozen=True):
    """How much of a quota is used.

    Attributes:
        metrics: By name: ``requests``, ``tokens``, …
        in_flight: Calls that are under way.
        slots: Calls that may be.
        waiting: Calls that wait for their turn.
        refused: Calls that the provider refused.
        pause: Whole seconds until the provider takes calls again.
    """

    metrics: dict[str, PublishedMetric]
    in_flight: int
    slots: int
    waiting: int
    refused: int
    pause: int = 0


class Published(msgspec.Struct, frozen=True):
    """One engine.

    Attributes:
        pid: Its process.
        at: When this was, seconds since the epoch.
        level: How far it is degraded; ``normal`` if it is not.
        load: How loaded the machine is, 0 to 1, or ``None``: a quarter for each level, no share of anything.
        reason: Why it does less than it could, or ``None`` if it does not.
        overload: Which classes of work go last because others wait too long, or ``None`` if none does.
        running: Tasks that run, all pipelines together.
        queued: Tasks that wait.
        pipelines: By name.
        answered: Whether the engine was asked just now, and answered.
        components: How its components fare, by name.
        quotas: How much of each is used, by name.
        resources: What tasks share, by name.
        workers: Threads and worker processes.
        resident: Memory of the engine and its workers, bytes; 0 while nobody has looked.
    """

    pid: int
    at: float
    level: str
    load: float | None
    running: int
    queued: int
    pipelines: dict[str, PublishedPipeline]
    reason: str | None = None
    overload: str | None = None
    answered: bool = True
    components: dict[str, PublishedComponent] = {}
    quotas: dict[str, PublishedQuota] = {}
    resources: dict[str, PublishedResource] = {}
    workers: PublishedWorkers = PublishedWorkers()
    resident: int = 0


def as_text(value: msgspec.Struct) -> str:
    """Return a record as JSON."""
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        # Names may hold the escaped bytes of a file name, which the standard library alone writes; ten times slower.
        return json.dumps(msgspec.to_builtins(value))


def from_text(text: str | bytes, kind: type[T]) -> T:
    """Return the record that ``as_text`` wrote.

    Raises:
        ValueError: If the text is something else.
        RecursionError: If it is nested without end.
    """
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:  # as above
        return msgspec.convert(json.loads(text), type=kind)


def task_id(seq: int) -> str:
    """Return the name of the task that was submitted as number ``seq``."""
    return f"t{seq}"


def engine_path(home: Home) -> Path:
    """Return the file in which the engine of a home tells about itself."""
    return home.path / "engine.json"


def read_published(home: Home) -> Published | None:
    """Return what the engine on a home tells, or ``None``.

    ``None``: no engine runs there, or it has not told anything yet, or another
    version of Tenire that tells it differently.
    """
    if home.owner() is None:
        return None
    try:
        return from_text(ask(home, "status", timeout=_ANSWER_S, patience=0.0), Published)
    except (TenireError, ValueError, TypeError, RecursionError):
        return last_told(home)


def last_told(home: Home) -> Published | None:
    """Return what stands in the file of the engine that runs on a home, or ``None`` as above."""
    owner = home.owner()
    if owner is None:
        return None
    try:
        with engine_path(home).open("rb") as file:
            published = from_text(file.read(_MOST_BYTES), Published)
    except (OSError, ValueError, RecursionError):  # msgspec's own is a ValueError
        return None
    # A killed engine leaves its file behind. The lock tells who is alive, and cannot
    # be fooled by a process that happens to get the same number.
    return msgspec.structs.replace(published, answered=False) if published.pid == owner else None

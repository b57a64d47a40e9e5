"""What a running engine tells other processes about itself.

``read_published`` is the only way to it; how it travels (today a file in the home)
is nobody else's business.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

    from tenire.storage.home import Home

__all__ = ["Published", "PublishedPipeline", "PublishedTask", "engine_path", "read_published", "task_id"]

_MOST_BYTES = 4 << 20


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


class PublishedPipeline(msgspec.Struct, frozen=True):
    """One pipeline of a run.

    Attributes:
        totals: Its counters so far, and its state.
        running: Tasks that run.
        queued: Tasks that wait.
        tasks: Some of them, those that run first.
    """

    totals: dict[str, Any]
    running: int
    queued: int
    tasks: list[PublishedTask]


class Published(msgspec.Struct, frozen=True):
    """One engine.

    Attributes:
        pid: Its process.
        at: When this was, seconds since the epoch.
        level: How far it is degraded; ``normal`` if it is not.
        load: How busy the machine is, 0 to 1, or ``None``.
        reason: Why it does less than it could, or ``None`` if it does not.
        running: Tasks that run, all pipelines together.
        queued: Tasks that wait.
        pipelines: By name.
    """

    pid: int
    at: float
    level: str
    load: float | None
    running: int
    queued: int
    pipelines: dict[str, PublishedPipeline]
    reason: str | None = None


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
    owner = home.owner()
    if owner is None:
        return None
    try:
        with engine_path(home).open("rb") as file:
            # The standard library's parser: names may hold the escaped bytes of a file name.
            published = msgspec.convert(json.loads(file.read(_MOST_BYTES)), type=Published)
    except (OSError, ValueError, RecursionError):  # msgspec's own is a ValueError
        return None
    # A killed engine leaves its file behind. The lock tells who is alive, and cannot
    # be fooled by a process that happens to get the same number.
    return published if published.pid == owner else None

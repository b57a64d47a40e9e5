"""Why one task, or one entry of the quarantine, is where it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tenire.app.ask import ask
from tenire.app.published import ExplainedTask, from_text, last_told
from tenire.clock import SYSTEM_CLOCK
from tenire.errors import ChannelError, ConfigError
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

    from tenire.storage.records import QuarantineEntry

__all__ = ["Answer", "why"]

_TASK = re.compile(r"t[0-9]+")
_ANSWER_S = 2.0
"""Seconds after which an engine that was asked is taken for stuck."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Why something is where it is.

    Attributes:
        id: What was asked about.
        pipeline: Its pipeline.
        state: A task's state, ``quarantined``, or ``retrying`` for an entry that the next run tries again.
        reason: What holds it back, or what went wrong, in one sentence.
        paragraph: All of it for people, with what to do.
        facts: Further keys of the JSON object.
    """

    id: str
    pipeline: str
    state: str
    reason: str
    paragraph: str
    facts: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``why`` prints with ``--json``."""
        return {
            "id": self.id, "pipeline": self.pipeline, "state": self.state, "reason": self.reason, **self.facts,
        }  # fmt: skip


def why(home: Path, task: str) -> Answer:
    """Return why a task of the running engine, or an entry of the quarantine, is where it is.

    Args:
        home: The home directory.
        task: An id that ``tenire status`` or ``tenire failed`` shows.

    Raises:
        ConfigError: If there is no such task and no such entry.
        StoreError: If there is no home.
    """
    place = Home(home)
    place.require()
    if _TASK.fullmatch(task):
        return _of_task(*_told(place, task))
    with Ledger.read(place) as ledger:
        entry = next((entry for entry in ledger.quarantine.entries() if entry.id == task), None)
    if entry is None:
        message = f"there is no task and no entry in quarantine called {task!r}"
        raise ConfigError(message, key="TASK", hint="tenire status lists running tasks, tenire failed the quarantine")
    return _of_entry(entry)


def _told(home: Home, task: str) -> tuple[ExplainedTask, float | None]:
    """Return what the engine says of a task, and when that was if it does not answer now, seconds since the epoch."""
    try:
        return from_text(ask(home, "why", task, timeout=_ANSWER_S, patience=0.0), ExplainedTask), None
    except ChannelError:
        published = last_told(home)
    if published is None:
        engine = "no engine is running" if home.owner() is None else "an engine has only just begun"
        message = f"there is no task {task!r}: {engine} on {home.path}"
        raise ConfigError(message, key="TASK", hint="what failed is in: tenire failed")
    for name, pipeline in published.pipelines.items():
        for each in pipeline.tasks:
            if each.id == task:
                return ExplainedTask(name, each), published.at
    message = f"the engine on {home.path} shows no task {task!r}: it has ended, or waits far behind, or never was"
    raise ConfigError(message, key="TASK", hint="tenire status lists the tasks that can be asked about")


def _of_task(told: ExplainedTask, at: float | None) -> Answer:
    task = told.task
    # The name of a step begins with its pipeline's already.
    said = f"Task {task.id} ({task.name}) of pipeline {told.pipeline} is {task.state}: {task.reason}."
    if at is not None:
        said = f"The engine does not answer now; {max(0.0, SYSTEM_CLOCK.wall() - at):.0f} s ago it said: {said}"
    facts = {"name": task.name, **({"gate": task.gate} if task.gate else {}), "answers": at is None}
    return Answer(task.id, told.pipeline, task.state, task.reason, said, facts)


def _of_entry(entry: QuarantineEntry) -> Answer:
    tried = {0: "no try got an answer", 1: "tried once"}.get(entry.attempts, f"tried {entry.attempts} times")
    error = entry.error.rstrip(".")
    if entry.retrying:
        state, rest = "retrying", "The next run of its pipeline tries it again."
    else:
        state = "quarantined"
        page = entry.source.startswith(("http://", "https://"))
        then = "Each run asks for it again" if page else "It is left alone until the file changes"
        rest = f"{then}; to try it again now: tenire retry {entry.id}"
    paragraph = (
        f"{entry.source} of pipeline {entry.pipeline} cannot be used: the stage {entry.stage} refused it, "
        f"{tried}. The reason: {error}. {rest}"
    )
    facts = {"source": entry.source, "stage": entry.stage, "error": entry.error, "attempts": entry.attempts}
    return Answer(entry.id, entry.pipeline, state, f"{entry.stage}: {error}", paragraph, facts)

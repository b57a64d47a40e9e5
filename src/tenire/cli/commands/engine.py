"""``pause``, ``resume``, ``cancel`` and ``priority``: control a running engine."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tenire.cli.common import Settings
from tenire.core.tasks import Priority

__all__ = ["cancel", "pause", "priority", "resume"]

_ANSWER_S = 10.0
_END_S = 60.0
"""A pipeline that is cancelled finishes its commit first."""

_Pipeline = Annotated[str, typer.Argument(metavar="PIPELINE", help="A pipeline that `tenire status` shows.")]


def pause(settings: Settings, pipeline: _Pipeline) -> int:
    """Start nothing more of a pipeline for now.

    What runs of it comes to its end; the other pipelines go on.
    """
    return _tell(settings, "pause", pipeline, f"pipeline {pipeline} is paused; to go on: tenire resume {pipeline}")


def resume(settings: Settings, pipeline: _Pipeline) -> int:
    """Go on with a pipeline that was paused."""
    return _tell(settings, "resume", pipeline, f"pipeline {pipeline} goes on")


def cancel(settings: Settings, pipeline: _Pipeline) -> int:
    """End a pipeline and keep what it has finished.

    The other pipelines go on.
    """
    shown = f"pipeline {pipeline} is cancelled; everything finished is kept"
    return _tell(settings, "cancel", pipeline, shown, timeout=_END_S)


def priority(
    settings: Settings,
    pipeline: _Pipeline,
    level: Annotated[str, typer.Argument(metavar="LEVEL", help="critical, high, normal, low or idle.")],
) -> int:
    """Give a pipeline more or less of the machine while it runs.

    Each level counts four times the one below.
    """
    name = Priority.parse(level).name.lower()
    shown = f"pipeline {pipeline} has priority {name} now"
    return _tell(settings, "priority", {"pipeline": pipeline, "level": name}, shown)


def _tell(settings: Settings, operation: str, argument: Any, shown: str, *, timeout: float = _ANSWER_S) -> int:
    home = settings.home_path()
    from tenire.app.ask import ask
    from tenire.storage.home import Home

    place = Home(home)
    place.require()
    settings.output.result(ask(place, operation, argument, timeout=timeout), [shown])
    return 0

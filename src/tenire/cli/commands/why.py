"""``why``: what holds a task back, or what went wrong with a source."""

from __future__ import annotations

from typing import Annotated

import typer

from tenire.cli.common import Settings

__all__ = ["why"]


def why(
    settings: Settings,
    task: Annotated[str, typer.Argument(metavar="TASK", help="An id that `tenire status` or `tenire failed` shows.")],
) -> int:
    """Say why a task waits, or why a source failed."""
    home = settings.home_path()
    from tenire.app.why import why as ask

    answer = ask(home, task)
    output = settings.output
    if output.as_json:
        output.json(answer.as_json())
    else:
        output.show(" ".join(answer.paragraph.split("\n")))
    return 0

"""Files that do not exist yet because a pipeline of the same run writes them first."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tenire.app.config_schema import Config

__all__ = ["produced_before"]


def produced_before(config: Config, name: str, chosen: Iterable[str]) -> frozenset[str]:
    """Return the outputs, as absolute paths, of all pipelines that a pipeline runs after.

    Args:
        config: A checked configuration.
        name: The pipeline.
        chosen: The pipelines that run.
    """
    running = frozenset(chosen)
    paths: set[str] = set()
    waiting = list(config.pipelines[name].after)
    known = set(waiting)
    while waiting:
        other = waiting.pop()
        output = getattr(config.pipelines[other], "output", None)
        if other in running and output is not None:
            paths.add(absolute(config.base, output))
        waiting += [earlier for earlier in config.pipelines[other].after if earlier not in known]
        known.update(config.pipelines[other].after)
    return frozenset(paths)


def absolute(base: Path, written: str) -> str:
    """Return a path of a configuration as an absolute one."""
    return os.path.abspath(os.path.join(base, os.path.expanduser(written)))

"""The forms that an output can have, by the ending of its file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.errors import ConfigError
from tenire.pipeline.rows.output import RowOutput
from tenire.pipeline.rows.parquet_output import ParquetOutput
from tenire.pipeline.rows.sqlite_output import SqliteOutput

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tenire.pipeline.rows.output import Output

__all__ = ["lines_at", "output_at", "written_at"]

_FORMS: dict[str, Callable[..., Output]] = {
    ".jsonl": RowOutput,
    ".ndjson": RowOutput,
    ".parquet": ParquetOutput,
    ".db": SqliteOutput,
    ".sqlite": SqliteOutput,
    ".sqlite3": SqliteOutput,
}


def output_at(path: Path, *, pipeline: str) -> Output:
    """Return the output that a path is.

    Args:
        path: Absolute path of the file.
        pipeline: Whose it is, for errors.

    Raises:
        ConfigError: If no form has that ending.
    """
    form = _FORMS.get(path.suffix.lower())
    if form is None:
        message = f"an output is a file that ends with {', '.join(_FORMS)}, got {path}"
        raise ConfigError(message, key="sink")
    return form(path, pipeline=pipeline)


def lines_at(path: Path, *, pipeline: str, keys: tuple[str, ...]) -> RowOutput:
    """Return the output of JSON lines that a path is.

    Args:
        path: Absolute path of the file.
        pipeline: Whose it is, for errors.
        keys: Of each of its objects, in order.

    Raises:
        ConfigError: If its ending says another form, in which it would be looked for afterwards.
    """
    if _FORMS.get(path.suffix.lower(), RowOutput) is not RowOutput:
        message = f"this output is a file of JSON lines, got {path}"
        raise ConfigError(message, key="output", hint="name a file that ends with .jsonl")
    return RowOutput(path, pipeline=pipeline, keys=keys)


def written_at(path: Path, *, pipeline: str) -> Output:
    """Return the output that a run has written to a path: JSON lines, where its ending says nothing else."""
    return _FORMS.get(path.suffix.lower(), RowOutput)(path, pipeline=pipeline)

"""The forms that an output can have, by the ending of its file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.errors import ConfigError
from tenire.pipeline.rows.output import RowOutput

if TYPE_CHECKING:
    from pathlib import Path

    from tenire.pipeline.rows.output import Output

__all__ = ["output_at"]

_FORMS = {".jsonl": RowOutput, ".ndjson": RowOutput}


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

"""Reads the file of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.errors import ModelFileError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_model_file"]


def read_model_file(path: Path, name: str) -> bytes:
    """Return what is in a file.

    Raises:
        ModelFileError: If it cannot be read; it names the model.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"the model {path} cannot be read: {error.strerror}"
        raise ModelFileError(message, model=name) from error

